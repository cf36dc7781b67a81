"""Teaches the embedded model to answer from passages: data made by rules, LoRA in JAX, merging."""

"""LoRA adapters: their file, and how one becomes part of a GGUF model."""

"""Counts tokens, trims history, works out the passage budget."""

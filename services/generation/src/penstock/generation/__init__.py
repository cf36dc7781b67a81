"""Keeps the backends' continuous batches full and streams their text into the log."""

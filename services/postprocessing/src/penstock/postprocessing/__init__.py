"""Turns generated text into the visible, cited answer."""

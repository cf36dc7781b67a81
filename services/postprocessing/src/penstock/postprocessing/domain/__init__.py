"""Rules of the visible answer."""

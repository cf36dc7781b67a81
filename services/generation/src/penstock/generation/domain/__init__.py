"""Rules of generation that need no backend."""

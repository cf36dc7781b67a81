"""Plain data and rules: the dialect, the answer, keys and errors."""

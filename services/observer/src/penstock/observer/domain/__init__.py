"""Plain data and rules."""

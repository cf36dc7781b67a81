"""Plain data and rules of retrieval."""

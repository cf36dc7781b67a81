"""Outside libraries stand here only."""

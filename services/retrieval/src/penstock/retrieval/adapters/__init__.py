"""Outside libraries behind the ports."""

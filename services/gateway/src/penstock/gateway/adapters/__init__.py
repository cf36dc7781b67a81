"""Outside libraries behind the ports, and FastAPI in front."""

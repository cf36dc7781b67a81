"""The REST API, by FastAPI and plain ASGI."""

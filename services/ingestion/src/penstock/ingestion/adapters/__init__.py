"""Adapters of ingestion to SQL, blobs, parsers, model servers, HTTP and Celery."""

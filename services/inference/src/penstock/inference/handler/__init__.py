"""What the service does with a request, without HTTP and without a model library in sight."""

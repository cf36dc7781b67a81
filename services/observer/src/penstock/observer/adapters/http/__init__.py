"""The HTTP interface: OTLP in, JSON and events out."""

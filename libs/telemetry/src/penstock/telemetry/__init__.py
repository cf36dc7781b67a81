"""OpenTelemetry set-up, attribute names and structured logs."""

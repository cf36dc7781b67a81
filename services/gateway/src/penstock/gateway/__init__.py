"""OpenAI-dialect REST API in front of the log."""

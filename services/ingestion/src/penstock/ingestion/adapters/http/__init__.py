"""OpenAI's files and vector stores dialect over HTTP, for the gateway, which says whose request it is."""

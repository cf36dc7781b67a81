"""OpenAPI document of the HTTP API, as the gateway's own app describes it."""

from penstock.gateway.main import openapi as describe
from rendering.text import Json


def openapi() -> Json:
    """Return the gateway's OpenAPI document; nothing is started for it."""
    return describe()

"""What is safe to print of texts that others have written."""

from __future__ import annotations

import unicodedata


def plain(text: str) -> str:
    """The text without what could steer a terminal; documents and models may hold anything."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf"))

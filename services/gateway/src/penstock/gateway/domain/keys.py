"""API keys and tokens of sessions: how they look, and what of them is kept."""

import hashlib
import re
import secrets
from dataclasses import dataclass

_FORM = re.compile(r"psk-[A-Za-z0-9_-]{43}")
_TOKEN_FORM = re.compile(r"[A-Za-z0-9_-]{43}")
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is stored of a key: never the key. `prefix` is for people to tell their keys apart."""

    digest: str
    prefix: str


def new_key() -> str:
    """Return a new key: `psk-` and 256 random bits."""
    return f"psk-{secrets.token_urlsafe(32)}"


def looks_like_key(text: str) -> bool:
    """Return whether `text` has the form of a key."""
    return _FORM.fullmatch(text) is not None


def new_token() -> str:
    """Return the token of a new session: 256 random bits."""
    return secrets.token_urlsafe(32)


def looks_like_token(text: str) -> bool:
    """Return whether `text` has the form of a session's token."""
    return _TOKEN_FORM.fullmatch(text) is not None


def digest_of(secret: str) -> str:
    """Return the hex SHA-256 by which a key or token is stored and found.

    One plain round is enough here, and a salt or a slow password hash would add nothing: they protect
    secrets that can be guessed, and 256 random bits cannot. It also gives an index to look up by.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def record_of(key: str) -> KeyRecord:
    """Return what to store of a key."""
    return KeyRecord(digest_of(key), key[:_SHOWN])

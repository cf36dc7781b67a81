"""What a client asks of the gateway besides the question: who, which, for how long."""

import hashlib
import re
from dataclasses import dataclass

import msgspec

from penstock.gateway.domain.errors import invalid
from penstock.messages.chat import ChatRequested

MAX_KEY = 255
MAX_GRACE_S = 3600
_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What is known of a request besides its answer."""

    tenant: str
    model: str
    background: bool


_LATER = {"answers": "model", "may_quote": False}


def fingerprint(question: ChatRequested) -> str:
    """Return the hex SHA-256 of all that decides an answer: not whether it is streamed, nor who asks.

    What came with a later release does not count where it says what was so before, or a question that was
    asked before an upgrade would not be the same after it.
    """
    decisive = msgspec.to_builtins(question)
    del decisive["api_key"]
    for name, before in _LATER.items():
        if decisive[name] == before:
            del decisive[name]
    return hashlib.sha256(msgspec.json.encode(decisive)).hexdigest()


def idempotency_key(given: str | None) -> str | None:
    """Return the key in a header (None: there is none). Raises ApiError 400."""
    if given is None or (1 <= len(given) <= MAX_KEY and given.isprintable()):
        return given
    raise invalid("Idempotency-Key", f"Idempotency-Key must be 1 to {MAX_KEY} printable characters.")


def grace_ms(given: str | None, default_s: float) -> int:
    """Return for how long a client that has gone is waited for, in milliseconds. Raises ApiError 400."""
    if given is None:
        return round(default_s * 1000)
    if not _SECONDS.fullmatch(given) or float(given) > MAX_GRACE_S:
        raise invalid("X-Disconnect-Grace", f"X-Disconnect-Grace must be 0 to {MAX_GRACE_S} seconds.")
    return round(float(given) * 1000)


def event_number(name: str, given: str | None) -> int:
    """Return the id of the last event that a client has (-1: none). Raises ApiError 400."""
    if given is None:
        return -1
    if not _NUMBER.fullmatch(given):
        raise invalid(name, f"{name} must be the id of an event of the stream, a whole number.")
    return int(given)

"""Errors of model servers: one classification for all callers and all calls."""

from typing import NamedTuple

import msgspec

from penstock.streaming.errors import HandlerError, PermanentError, TransientError

ERROR_BYTES = 64 << 10
"""So much of an error's body is read."""
_WORDS = 1_000


class ModelServerError(Exception):
    """Base of all. `why` is ours, and may be logged; as text it is the server's own words, if it said any."""

    def __init__(self, why: str, words: str = "") -> None:
        super().__init__(words or why)
        self.why = why


class Refused(ModelServerError):
    """The request is at fault: no repetition helps, and no other server."""


class Busy(ModelServerError):
    """The server is well, and takes no more for now."""


class Unavailable(ModelServerError):
    """It cannot be reached, broke off, took too long, does not know our key, or failed: later it may work."""


class Away(Unavailable):
    """It is not there for now: nothing was asked of it."""


class WrongDialect(ModelServerError):
    """What answers does not speak the dialect that it was asked in."""


_REFUSED = frozenset({400, 413, 422})
_BUSY = 429
_KEY = frozenset({401, 403})
_AWAY = frozenset({502, 503, 504})
"""It starts, or what stands before it finds it gone."""
_UNAVAILABLE = frozenset({408, 424, 425})
"""Too slow, failed in inference (TGI's and TEI's word), too early: they speak of the server's state."""


class _Said(msgspec.Struct):
    """The body of an error, as Text Generation and Text Embeddings Inference write it."""

    error: str


_SAID = msgspec.json.Decoder(_Said)


def of_status(status: int, body: bytes) -> ModelServerError:
    """Return what an answer with an error status means."""
    why, words = f"status {status}", _words(body)
    if status in _REFUSED:
        return Refused(why, words)
    if status == _BUSY:
        return Busy(why, words)
    if status in _KEY:
        return Unavailable(f"{why}: it wants a key, or another one", words)
    if status in _AWAY:
        return Away(why, words)
    if status in _UNAVAILABLE or status >= 500:
        return Unavailable(why, words)
    return WrongDialect(why, words)


def of_stream(error_type: str, words: str) -> ModelServerError:
    """Return what an error within a stream means, by TGI's `error_type`."""
    why = f"error within the stream: {error_type[:40]}"
    kind = {"overloaded": Busy, "validation": Refused}.get(error_type, Unavailable)
    return kind(why, words[:_WORDS])


def _words(body: bytes) -> str:
    try:
        return _SAID.decode(body).error[:_WORDS]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


class Codes(NamedTuple):
    """What a stage calls a kind of server, and the codes of its errors."""

    server: str
    refused: str
    unavailable: str
    dialect: str


def handler_error(error: ModelServerError, codes: Codes) -> HandlerError:
    """Return the error that a handler raises for it; the server's own words stay out of it."""
    if isinstance(error, Refused):
        return PermanentError(codes.refused, f"{codes.server} refused the request ({error.why}).")
    if isinstance(error, WrongDialect):
        return PermanentError(codes.dialect, f"{codes.server} does not speak its dialect: {error.why}.")
    return TransientError(codes.unavailable, f"{codes.server} is not available: {error.why}.")

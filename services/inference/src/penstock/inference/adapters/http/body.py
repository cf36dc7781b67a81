"""Reading request bodies within bounds."""

from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from penstock.inference.domain.errors import BodyTooLargeError, InvalidRequestError
from penstock.inference.handler.answers import ReaderGoneError

T = TypeVar("T")


DISCARDED_BYTES = 8_000_000
"""How much of a body that is too large is read and thrown away.

A client that is still sending when the connection closes never sees the answer; so a body that is a little
too large is taken in, piece by piece, before it is refused.
"""


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body. Raises BodyTooLargeError; never holds more than `limit` bytes and one piece.

    A body that says that it is far too large is refused before it is read.
    """
    if _declared(request) > limit + DISCARDED_BYTES:
        raise BodyTooLargeError(limit)
    body = bytearray()
    seen = 0
    try:
        async for part in request.stream():
            seen += len(part)
            if seen <= limit:
                body += part
            else:
                body.clear()
            if seen > limit + DISCARDED_BYTES:
                break
    except ClientDisconnect:
        raise ReaderGoneError from None
    if seen > limit:
        raise BodyTooLargeError(limit)
    return bytes(body)


def _declared(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if len(length) < 20 and length.isdigit() else 0


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return the decoded body. Raises InvalidRequestError, which says what is wrong and where."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"the body is not valid JSON: {error}") from None

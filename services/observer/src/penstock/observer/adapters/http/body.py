"""Bodies of requests, bounded before they are read and while they are unpacked."""

import asyncio
import zlib

from starlette.requests import Request

MAX_BODY_BYTES = 4 << 20
MAX_UNPACKED_BYTES = 16 << 20
READ_SECONDS = 10.0
_GZIP = 31  # zlib's window bits for a gzip header


class TooLarge(Exception):
    """A body beyond its bound."""


class Unreadable(Exception):
    """A body that did not come, or is not packed as it says."""


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Return the body. Raises TooLarge; Unreadable if it does not come in time."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise TooLarge
    body = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    raise TooLarge
    except TimeoutError:
        raise Unreadable(f"the body did not come within {READ_SECONDS:g} s") from None
    return bytes(body)


def unpacked(body: bytes, limit: int = MAX_UNPACKED_BYTES) -> bytes:
    """Return what is in a gzip body. Raises TooLarge, Unreadable."""
    unpack = zlib.decompressobj(_GZIP)
    try:
        plain = unpack.decompress(body, limit + 1)
    except zlib.error as error:
        raise Unreadable(f"no gzip: {error}") from None
    if len(plain) > limit:
        raise TooLarge
    if not unpack.eof or unpack.unused_data:
        raise Unreadable("no gzip: it is cut off, or followed by something else")
    return plain

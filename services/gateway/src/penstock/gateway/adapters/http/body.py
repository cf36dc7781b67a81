"""The body of a request, with its limits kept while it arrives."""

import asyncio

from starlette.types import Receive, Scope

from penstock.gateway.adapters.http.edge import header_of
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.domain import errors
from penstock.gateway.domain.errors import ApiError


class ClientGone(Exception):
    """The client hung up before its request was complete: there is nobody to answer."""


async def read_json_body(scope: Scope, receive: Receive, service: Service, most: int | None = None) -> bytes:
    """Return the body, of `most` bytes at most (None: as for all).

    Raises ApiError (408, 413, 415, 429) or ClientGone.

    A body that is too large is refused as soon as that is known: by its length before anything is read, else
    at the first byte too many. The server throws the rest away, so that the client can read the answer.
    """
    _check_type(scope)
    limit, timeout_s = most or service.limits.max_body, service.limits.body_timeout_s
    length = header_of(scope, b"content-length")
    if length.isdigit() and int(length) > limit:
        raise errors.too_large(limit)
    # What a length promises is set aside at once; without one, as much as may come.
    with service.buffered.taken(int(length) if length.isdigit() else limit):
        try:
            async with asyncio.timeout(timeout_s):
                return await _read(receive, limit)
        except TimeoutError:
            raise errors.slow_body(timeout_s) from None


async def _read(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > limit:
            raise errors.too_large(limit)
        if not message.get("more_body", False):
            return bytes(body)


def _check_type(scope: Scope) -> None:
    given = header_of(scope, b"content-type")
    media, _, parameters = given.partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media.strip().lower() not in ("application/json", "") or charset not in ("utf-8", "utf8", ""):
        message = f"'{given[:64]}' is not supported. Send JSON with 'Content-Type: application/json'."
        raise ApiError(415, "unsupported_media_type", message)
    refuse_encoding(scope)


def refuse_encoding(scope: Scope) -> None:
    """Raise ApiError 415 for a body that is compressed: its limits count what arrives."""
    encoding = header_of(scope, b"content-encoding")
    if encoding.lower() not in ("", "identity"):
        message = f"Content-Encoding '{encoding[:32]}' is not supported. Send the body uncompressed."
        raise ApiError(415, "unsupported_media_type", message)

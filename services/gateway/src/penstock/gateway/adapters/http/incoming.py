"""A body on its way through the gateway: its limits are kept while it flows, and none of it is kept."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Message, Receive

from penstock.gateway.adapters.http.body import ClientGone
from penstock.gateway.domain import errors

SLOWEST = 16 << 10
"""Bytes a second that a client must send on average, besides never being silent for long."""


class Incoming:
    """Reads what a client sends; nobody else may call `receive`.

    At most `limit` bytes. `timeout_s` bounds each silence, and all of the waiting together but for what
    `SLOWEST` allows for the bytes that have come: so a place cannot be held by a byte now and then.
    """

    def __init__(self, receive: Receive, limit: int, timeout_s: float) -> None:
        self._receive = receive
        self._limit = limit
        self._timeout_s = timeout_s
        self._received = 0
        self._waited = 0.0
        self._released = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises ApiError 408, 413, or ClientGone."""
        try:
            more = True
            while more:
                message = await self._next()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                piece = message.get("body", b"")
                self._received += len(piece)
                if self._received > self._limit:
                    raise errors.file_too_large(self._limit)
                more = message.get("more_body", False)
                if piece:
                    yield piece
        finally:
            self._released.set()

    def skip(self) -> None:
        """Leave the body unread: there is none, or nobody wants it."""
        self._released.set()

    async def gone(self) -> None:
        """Wait until the client hangs up, which is seen once nobody reads the body any more."""
        await self._released.wait()
        while (await self._receive())["type"] != "http.disconnect":
            continue

    async def _next(self) -> Message:
        clock = asyncio.get_running_loop().time
        began = clock()
        allowed = self._timeout_s + self._received / SLOWEST - self._waited
        try:
            async with asyncio.timeout(min(self._timeout_s, allowed)):
                return await self._receive()
        except TimeoutError:
            raise errors.slow_body(self._timeout_s) from None
        finally:
            self._waited += clock() - began

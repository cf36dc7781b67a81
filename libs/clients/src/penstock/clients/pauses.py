"""Pauses of who reads a stream, so that what comes close together is read together."""

import asyncio
from collections.abc import Callable

from aiohttp import StreamReader

Seconds = Callable[[], float]
"""Tells how long the next pause may be; 0: there is none."""
_EARLY_S = 0.002
"""A timer may go off so long before its tick."""


def without_pause() -> float:
    """Let everything be read as it comes (Seconds)."""
    return 0.0


class Pauses:
    """The pauses in one body, which its end cuts short.

    They end at ticks that are the same for all streams of the event loop: a continuous batch writes a token
    of every stream at nearly the same time, and to wake once for many costs much less than once for each.
    """

    def __init__(self, body: StreamReader, seconds: Seconds) -> None:
        self._loop = asyncio.get_running_loop()
        self._body = body
        self._seconds = seconds
        self._over: asyncio.Future[None] | None = None
        body.on_eof(self._end)

    async def pause(self) -> None:
        """Wait for the next tick."""
        seconds = self._seconds()
        if seconds <= 0 or self._body.is_eof():
            return
        left = seconds - self._loop.time() % seconds
        if left < _EARLY_S:
            left += seconds
        self._over = self._loop.create_future()
        tick = self._loop.call_later(left, self._end)
        try:
            await self._over
        finally:
            tick.cancel()

    def _end(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

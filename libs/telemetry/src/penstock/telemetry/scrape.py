"""`/metrics` as an ASGI app, for any server."""

import asyncio
import time
from collections.abc import Callable

from prometheus_client.registry import Collector
from starlette.types import Receive, Scope, Send

from penstock.telemetry.exposition import content_type, render

FRESH_SECONDS = 0.5


class Scrape:
    """Answers with this process's metrics, and those of `more`: OpenMetrics or text, as the client accepts.

    Whoever asks, and however often, costs little: one body is made at a time, in a thread, and it serves all
    who ask for that format within half a second.
    """

    def __init__(self, *more: Collector, clock: Callable[[], float] = time.monotonic) -> None:
        self._more = more
        self._clock = clock
        self._lock = asyncio.Lock()
        self._made: dict[str, tuple[float, bytes]] = {}

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        accept = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"), "")
        form = content_type(accept)
        body = await self._body(form)
        headers = [(b"content-type", form.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _body(self, form: str) -> bytes:
        async with self._lock:
            at, body = self._made.get(form, (float("-inf"), b""))
            if self._clock() - at > FRESH_SECONDS:
                body = await asyncio.to_thread(render, form, *self._more)
                self._made[form] = (self._clock(), body)
            return body

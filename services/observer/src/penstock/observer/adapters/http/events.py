"""Server-sent events (HTML Living Standard, section 9.2): few streams, and no client is waited for."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing

import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from penstock.observer.domain.errors import ApiError
from penstock.streaming.server import first_done

SLOW_SECONDS = 10.0
"""A client that has taken nothing for so long is let go."""
COMMENT = b": still here\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
log = structlog.get_logger()


def data(body: bytes) -> bytes:
    """Return an event with a body of one line."""
    return b"data: " + body + b"\n\n"


class EventStream(Response):
    """Sends pieces as they come until the client goes, `stop` is set, or there are no more.

    `place` is held meanwhile, and refused (ApiError) before anything is sent.
    """

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], place: AbstractContextManager[None], stop: asyncio.Event
    ) -> None:
        super().__init__()
        self._pieces = pieces
        self._place = place
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI
        with self._place:
            try:
                await _sent(send, {"type": "http.response.start", "status": 200, "headers": _HEADERS})
                await _sent(send, _piece(COMMENT))
                await first_done([self._send_all(send), _gone(receive), _until(self._stop)])
                await _sent(send, {"type": "http.response.body", "body": b"", "more_body": False})
            except TimeoutError:
                # The server closes the connection of a response without end.
                log.info("slow_client_let_go")

    async def _send_all(self, send: Send) -> None:
        try:
            async with aclosing(self._pieces) as pieces:
                async for piece in pieces:
                    await _sent(send, _piece(piece))
        except ApiError as error:  # Kafka is away: the client asks again
            log.info("stream_ended", reason=str(error))


def _piece(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def _sent(send: Send, message: Message) -> None:
    async with asyncio.timeout(SLOW_SECONDS):
        await send(message)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _until(event: asyncio.Event) -> None:
    await event.wait()

"""Answers over HTTP that notice when the client has gone."""

import asyncio
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from penstock.inference.domain.errors import InferenceError
from penstock.inference.domain.generation import Delta
from penstock.inference.handler.answers import Answer, Complete, ReaderGoneError, complete

Encoder = Callable[[Delta], bytes]
ErrorEncoder = Callable[[InferenceError], bytes]

_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class EventStream(Response):
    """Server-sent events: one write to the socket for all that is there, however many tokens it is.

    An error in the middle is one more event, since the status has long been sent.
    """

    def __init__(self, answer: Answer, encode: Encoder, encode_error: ErrorEncoder) -> None:
        self._answer = answer
        self._encode = encode
        self._encode_error = encode_error
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the last one, or until the client has gone."""
        _ = scope
        watcher = asyncio.create_task(_watch(receive, [self._answer]))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            more = True
            while more:
                deltas = await self._answer.read()
                body, more = self._events(deltas)
                await send({"type": "http.response.body", "body": body, "more_body": more})
        except ReaderGoneError:
            return
        finally:
            watcher.cancel()
            self._answer.close()

    def _events(self, deltas: Sequence[Delta]) -> tuple[bytes, bool]:
        last = deltas[-1]
        if last.error is not None:
            return b"".join([*map(self._encode, deltas[:-1]), self._encode_error(last.error)]), False
        if len(deltas) == 1:
            return self._encode(last), last.finish is None
        return b"".join(map(self._encode, deltas)), last.finish is None


async def complete_all(request: Request, answers: Sequence[Answer]) -> list[Complete]:
    """Read every answer to its end, or free their places when the client goes (ReaderGoneError)."""
    watcher = asyncio.create_task(_watch(request.receive, answers))
    try:
        return [await complete(answer) for answer in answers]
    finally:
        watcher.cancel()
        for answer in answers:
            answer.close()


async def _watch(receive: Receive, answers: Sequence[Answer]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    for answer in answers:
        answer.abandon()

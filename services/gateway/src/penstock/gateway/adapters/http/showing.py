"""An answer over HTTP: in one piece, or as a stream of server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from fastapi import Response
from starlette.types import Receive, Scope, Send

from penstock.gateway.adapters.http.measures import Times
from penstock.gateway.adapters.http.replies import error_reply, reply
from penstock.gateway.domain import errors, render
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.following import Follower
from penstock.gateway.request_intake import Attended

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would gather the events otherwise
]


class Connected(NamedTuple):
    """The connection to a client, as ASGI gives it."""

    scope: Scope
    receive: Receive
    send: Send

    async def answer(self, response: Response) -> None:
        """Send a whole response."""
        await response(self.scope, self.receive, self.send)


class ResponseOptions(NamedTuple):
    """How an answer is wanted. A stream goes on after event `after` (-1: all), which `named` tells."""

    stream: bool
    include_usage: bool
    after: int = -1
    named: str = "Last-Event-ID"


async def show(
    client: Connected, attended: Attended, options: ResponseOptions, keep_alive_s: float, times: Times
) -> None:
    """Send the answer, or its error, as it is wanted, until its end or until the client has gone."""
    follower = attended.follower
    async with _watched(client.receive, follower):
        if not options.stream:
            await _whole(client, attended)
            return
        chunks = render.Chunks(attended.request_id, attended.info.model, options.include_usage)
        transcript = render.Transcript(follower.answer, chunks, options.after)
        with _Silence(follower, keep_alive_s) as silence:
            while not (transcript.can_begin or silence.broken or follower.gone):
                await follower.news()
            response = _instead_of_a_stream(transcript, follower.answer.end, options)
            if response is None:
                with times.streaming():
                    await _stream(client, transcript, follower, silence, times)
            else:
                await client.answer(response)


def finished(attended: Attended) -> Response:
    """Return the response that tells an answer that has ended."""
    answer = attended.follower.answer
    if answer.end is None or isinstance(answer.end, ApiError):
        return error_reply(answer.end or errors.shutting_down())
    text = answer.text_from(0, answer.length)
    return reply(render.completion(attended.request_id, attended.info.model, text, answer.end))


@asynccontextmanager
async def _watched(receive: Receive, follower: Follower) -> AsyncIterator[None]:
    """Tell the follower when its client hangs up."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        follower.leave()

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()


async def _whole(client: Connected, attended: Attended) -> None:
    follower = attended.follower
    while follower.answer.end is None and not follower.gone:
        await follower.news()
    if follower.answer.end is not None:
        await client.answer(finished(attended))


def _instead_of_a_stream(
    transcript: render.Transcript, end: object, options: ResponseOptions
) -> Response | None:
    """Return the response if there is nothing to stream: an early failure has its own status."""
    last = transcript.last
    if last is not None and options.after > last:
        return error_reply(errors.beyond_the_end(options.named, last))
    if last is not None and options.after == last:
        # All was shown. This status keeps an EventSource from coming again (WHATWG HTML section 9.2.3).
        return Response(status_code=204)
    if isinstance(end, ApiError) and not transcript.has_text:
        return error_reply(end)
    return None


async def _stream(
    client: Connected,
    transcript: render.Transcript,
    follower: Follower,
    silence: "_Silence",
    times: Times,
) -> None:
    """Send events as they come due.

    The status waits for the first one, so that an early failure can set it. A long wait in the queue ends
    that: proxies drop connections that stay silent, so the stream then begins with a comment.
    """
    await client.send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
    send = client.scope["state"]["direct_send"]
    while not (transcript.closed or follower.gone):
        data = transcript.due() or (render.KEEP_ALIVE if silence.broken else b"")
        if data or transcript.closed:
            silence.restart()
            await send({"type": "http.response.body", "body": data, "more_body": not transcript.closed})
            if follower.answer.length:
                times.text_sent()
        else:
            await follower.news()


class _Silence:
    """Wakes a follower when nothing was sent for a while, with one timer for many events."""

    def __init__(self, follower: Follower, seconds: float) -> None:
        self.broken = False
        self._follower = follower
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()

    def __enter__(self) -> "_Silence":
        self._timer = self._loop.call_later(self._seconds, self._check)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def restart(self) -> None:
        """Note that something is sent now."""
        self.broken = False
        self._since = self._loop.time()

    def _check(self) -> None:
        left = self._since + self._seconds - self._loop.time()
        if left <= 0:
            self.broken = True
            self._follower.wake()
            left = self._seconds
        self._timer = self._loop.call_later(left, self._check)

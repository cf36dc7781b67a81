"""One chat completion over HTTP: from the body to the last byte of the answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import NamedTuple

from fastapi import Response
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Receive, Scope, Send

from penstock.gateway.adapters.http.body import ClientGone, read_json_body
from penstock.gateway.adapters.http.edge import header_of
from penstock.gateway.adapters.http.replies import error_reply, reply
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.domain import errors, render
from penstock.gateway.domain.accept import parse, question_of
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.following import Follower
from penstock.messages.chat import ChatRequested
from penstock.streaming.tracing import fail
from penstock.telemetry import names

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would gather the events otherwise
]
_PROPAGATOR = TraceContextTextMapPropagator()


class _Wish(NamedTuple):
    """How the answer is wanted."""

    model: str
    stream: bool
    include_usage: bool


class Conversation(Response):
    """The response that does it all, so that what it holds is given back when the response ends."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service, state = self._service, scope["state"]
        request_id, tenant = state["request_id"], state["tenant"]
        if not service.readiness.is_ready:
            raise errors.not_ready(service.readiness.waiting_for)
        with service.open_requests.taken(), suppress(ClientGone):
            question, wish = await self._read(scope, receive)
            with self._span(scope, wish.model) as span, service.exchange.follow(request_id) as follower:
                await service.exchange.send(request_id, tenant, question, span)
                del question  # it may be large, and the answer long
                async with _watched(receive, follower):
                    if wish.stream:
                        chunks = render.Chunks(request_id, wish.model, wish.include_usage)
                        await _stream(scope, receive, send, follower, chunks, service.limits.keep_alive_s)
                    else:
                        await _whole(scope, receive, send, follower, wish.model)
                if isinstance(follower.answer.end, ApiError):
                    fail(span, follower.answer.end.code)

    async def _read(self, scope: Scope, receive: Receive) -> tuple[ChatRequested, _Wish]:
        request = parse(await read_json_body(scope, receive, self._service))
        self._service.models.find(request.model)
        options = request.stream_options
        include_usage = bool(options and options.include_usage)
        return question_of(request), _Wish(request.model, bool(request.stream), include_usage)

    def _span(self, scope: Scope, model: str) -> AbstractContextManager[Span]:
        return self._service.tracer.start_as_current_span(
            "POST /v1/chat/completions",
            _PROPAGATOR.extract({"traceparent": header_of(scope, b"traceparent")}, Context()),
            SpanKind.SERVER,
            {
                names.GEN_AI_OPERATION: "chat",
                names.GEN_AI_REQUEST_MODEL: model,
                names.PENSTOCK_TENANT: scope["state"]["tenant"],
                names.MESSAGING_CONVERSATION_ID: scope["state"]["request_id"],
            },
        )


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


async def _whole(scope: Scope, receive: Receive, send: Send, follower: Follower, model: str) -> None:
    answer = follower.answer
    while answer.end is None and not follower.gone:
        await follower.news()
    if answer.end is None:
        return
    if isinstance(answer.end, ApiError):
        response = error_reply(answer.end)
    else:
        text = answer.text_from(0, answer.length)
        response = reply(render.completion(scope["state"]["request_id"], model, text, answer.end))
    await response(scope, receive, send)


async def _stream(
    scope: Scope, receive: Receive, send: Send, follower: Follower, chunks: render.Chunks, keep_alive_s: float
) -> None:
    """Send events as they come due. The status waits for the first one, so that an early failure can set it.

    A long wait in the queue ends that: proxies drop connections that stay silent, so the stream then begins
    with a comment.
    """
    answer = follower.answer
    with _Silence(follower, keep_alive_s) as silence:
        while not (answer.started or answer.end or silence.broken or follower.gone):
            await follower.news()
        if isinstance(answer.end, ApiError):
            await error_reply(answer.end)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        transcript = render.Transcript(answer, chunks)
        send = scope["state"]["direct_send"]
        while not (transcript.closed or follower.gone):
            data = transcript.due() or (render.KEEP_ALIVE if silence.broken else b"")
            if data:
                silence.restart()
                await send({"type": "http.response.body", "body": data, "more_body": not transcript.closed})
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

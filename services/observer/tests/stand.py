"""An observer to try, over a broker in memory, and what services would write there and export."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from penstock.messages.chat import (
    AnswerCompleted,
    AnswerStarted,
    AnswerText,
    ChatRequested,
    ChatRetrieved,
    ChatTokenized,
    GenerationFinished,
    GenerationStarted,
    Message,
    Passage,
    RequestCancelled,
    RequestFailed,
    Sampling,
    TextGenerated,
    Usage,
    UsageRecorded,
)
from penstock.messages.envelope import Envelope, to_headers
from penstock.messages.event import Event
from penstock.messages.ids import new_request_id
from penstock.messages.topics import (
    CHAT_GENERATED,
    CHAT_REQUESTS,
    CHAT_RESPONSES,
    CHAT_RETRIEVED,
    CHAT_TOKENIZED,
    USAGE_RECORDED,
    Topic,
)
from penstock.observer.main import Observer
from penstock.observer.settings import Settings
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.admin.dead_letters import DeadLetters
from penstock.streaming.clock import unix_ms
from penstock.streaming.ports import BrokerError, Overview, Producer, Reader
from penstock.streaming.records import send

CONTENT = "what a user has written"
USAGE = Usage(prompt_tokens=7, completion_tokens=5)
PASSAGE = Passage(document_id="d", title="t", start=0, end=1, text=CONTENT, tokens=1)
_numbers = itertools.count(1)


@dataclass
class MemoryLog:
    """Port: Log. `away` has every opening fail with it; `open` counts what was opened and not closed."""

    broker: MemoryBroker
    away: BrokerError | None = None
    opened: int = 0

    async def missing(self) -> str | None:
        return str(self.away) if self.away else None

    async def reader(self, ahead: int | None = None) -> Reader:  # noqa: ARG002  # the port's
        self._open()
        return self.broker.reader()

    async def overview(self) -> Overview:
        self._open()
        return self.broker.overview()

    def partition_of(self, key: bytes, partitions: int) -> int:
        return self.broker.partition_of(key, partitions)

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator[DeadLetters]:
        self._open()

        async def delete_before(_cuts: Any) -> None:
            return

        yield DeadLetters(self.broker.reader(), self.broker.producer(), delete_before, unix_ms)

    def _open(self) -> None:
        if self.away is not None:
            raise self.away
        self.opened += 1


class Written(Protocol):
    """A broker that can be written to."""

    def producer(self) -> Producer: ...


@dataclass
class Line:
    """Writes what the services of the line write."""

    broker: Written
    sent: list[str] = field(default_factory=list)

    def new_id(self, at_ms: int | None = None) -> str:
        return new_request_id(3, unix_ms() if at_ms is None else at_ms)

    async def put(
        self,
        topic: Topic,
        event: Event,
        request_id: str,
        tenant: str = "acme",
        epoch: int = 0,
        trace: str = "",
    ) -> None:
        envelope = Envelope(
            id=f"e{next(_numbers)}",
            type=event.TYPE,
            source="/test",
            time_ms=unix_ms(),
            subject=request_id,
            tenant=tenant,
            reply_partition=3,
            deadline_ms=unix_ms() + 120_000,
            epoch=epoch,
            traceparent=trace,
        )
        await send(self.broker.producer(), topic, envelope, event)

    async def asked(
        self, tenant: str = "acme", key: str = "psk-abc", request_id: str = "", trace: str = ""
    ) -> str:
        request_id = request_id or self.new_id()
        await self.put(CHAT_REQUESTS, asked(key), request_id, tenant, trace=trace)
        self.sent.append(request_id)
        return request_id

    async def answered(self, request_id: str, tenant: str = "acme", pieces: int = 2) -> None:
        for topic, event in answer(request_id, pieces):
            await self.put(topic, event, request_id, tenant, epoch=1 if topic == CHAT_GENERATED else 0)

    async def whole(
        self, tenant: str = "acme", key: str = "psk-abc", pieces: int = 2, trace: str = ""
    ) -> str:
        request_id = await self.asked(tenant, key, trace=trace)
        await self.answered(request_id, tenant, pieces)
        return request_id

    async def failed(self, request_id: str, tenant: str = "acme") -> None:
        event = RequestFailed(code="too_long", message="It is too long.", status=400, stage="tokenization")
        await self.put(CHAT_RESPONSES, event, request_id, tenant)

    async def cancelled(self, request_id: str, tenant: str = "acme") -> None:
        event = RequestCancelled(reason="requested", length=3, usage=USAGE)
        await self.put(CHAT_RESPONSES, event, request_id, tenant)

    async def bury(
        self,
        request_id: str = "r",
        tenant: str = "acme",
        error: str = "no JSON",
        body: bytes = b"x",
        partition: bytes = b"3",
    ) -> None:
        envelope = Envelope(
            id="e", type=ChatRequested.TYPE, source="/t", time_ms=unix_ms(), subject=request_id, tenant=tenant
        )
        headers = [
            *to_headers(envelope),
            ("dlq_partition", partition),
            ("dlq_stage", b"tokenization"),
            ("dlq_error", error.encode()),
            ("dlq_time_ms", b"%d" % unix_ms()),
        ]
        await self.broker.producer().send(CHAT_REQUESTS.dlq, request_id.encode(), body, headers, 0)


def asked(key: str = "psk-abc") -> ChatRequested:
    messages = (Message(role="user", content=CONTENT),)
    return ChatRequested(model="m", messages=messages, sampling=Sampling(), api_key=key)


def answer(request_id: str, pieces: int = 2) -> Sequence[tuple[Topic, Event]]:
    """What follows a question, in the order in which it is written."""
    prompt = {"model": "m", "prompt_before": CONTENT, "prompt_after": "", "prompt_tokens": 6}
    texts = [(i * 2, "ab") for i in range(pieces)]
    return [
        (CHAT_TOKENIZED, ChatTokenized(query=CONTENT, passage_tokens=9, sampling=Sampling(), **prompt)),
        (CHAT_RETRIEVED, ChatRetrieved(passages=(PASSAGE,), sampling=Sampling(), **prompt)),
        (CHAT_GENERATED, GenerationStarted(model="m", passages=(PASSAGE,))),
        (CHAT_RESPONSES, AnswerStarted(model="m")),
        *((CHAT_GENERATED, TextGenerated(start=start, text=text)) for start, text in texts),
        *((CHAT_RESPONSES, AnswerText(start=start, text=text)) for start, text in texts),
        (CHAT_GENERATED, GenerationFinished(length=2 * pieces, finish_reason="stop", usage=USAGE)),
        (CHAT_RESPONSES, AnswerCompleted(length=2 * pieces, finish_reason="stop", usage=USAGE, citations=())),
        (USAGE_RECORDED, UsageRecorded(request_id=request_id, model="m", usage=USAGE)),
    ]


def span(
    trace_id: bytes | int,
    span_id: int,
    *,
    parent: int = 0,
    request_id: str = "",
    tenant: str = "",
    name: str = "work",
    start_ms: int | None = None,
    took_ms: int = 10,
    error: str = "",
    links: Sequence[bytes] = (),
    events: Sequence[str] = (),
    **attributes: str,
) -> WireSpan:
    """A span as a process exports it."""
    start_ns = (unix_ms() if start_ms is None else start_ms) * 1_000_000
    told = {"penstock.request.id": request_id, "penstock.tenant": tenant, "error.type": error, **attributes}
    return WireSpan(
        trace_id=trace_id if isinstance(trace_id, bytes) else trace_id.to_bytes(16, "big"),
        span_id=span_id.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=name,
        kind=WireSpan.SPAN_KIND_INTERNAL,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + took_ms * 1_000_000,
        attributes=[
            KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in told.items() if value
        ],
        events=[WireSpan.Event(name=event, time_unix_nano=start_ns) for event in events],
        links=[WireSpan.Link(trace_id=linked, span_id=b"\x01" * 8) for linked in links],
        status={"code": 2} if error else {},
    )


def export(*spans: WireSpan, service: str = "penstock-gateway") -> bytes:
    """The body of an export of spans."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value=service)))
    group.scope_spans.add().spans.extend(spans)
    return request.SerializeToString()


@dataclass
class Console:
    """Calls a running observer as the gateway does."""

    client: httpx2.AsyncClient
    url: str

    async def get(self, path: str, caller: str = "", /, **parameters: Any) -> httpx2.Response:
        """As a tenant, or as an operator if none is named."""
        return await self.client.get(f"/console/api/{path}", headers=who(caller), params=parameters)

    async def spans(self, *spans: WireSpan) -> None:
        """Export spans."""
        done = await self.client.post("/v1/traces", content=export(*spans), headers=OTLP)
        assert done.status_code == 200


OTLP = {"content-type": "application/x-protobuf"}
KEY = "key-of-the-observer"
WITH_KEY = {"authorization": f"Bearer {KEY}"}


def who(tenant: str) -> dict[str, str]:
    """The headers of a tenant, or of an operator."""
    return WITH_KEY | ({"x-penstock-tenant": tenant} if tenant else {"penstock-operator": "1"})


@asynccontextmanager
async def serving(log: Any, settings: Settings) -> AsyncIterator[Console]:
    """A whole observer on a port of this machine, while the block runs."""
    stop = asyncio.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    running = asyncio.create_task(Observer(settings, log, stop).run(listener))
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
            yield Console(client, url)
    finally:
        stop.set()
        await running


async def until(check: Callable[[], Awaitable[Any]], within: float = 30.0) -> Any:
    """Ask again until it gives something true, for at most half a minute."""
    async with asyncio.timeout(within):
        while not (found := await check()):  # noqa: ASYNC110  # other parts set no event of ours
            await asyncio.sleep(0.02)
    return found

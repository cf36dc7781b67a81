"""Spans around a hop: what a trace tells of waiting, handling, sending, failing, repeating, taking over."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from penstock.messages import codec
from penstock.messages.chat import (
    AnswerCompleted,
    ChatRequested,
    GenerationFinished,
    GenerationStarted,
    Message,
    RequestFailed,
    Sampling,
    TextGenerated,
    Usage,
)
from penstock.messages.envelope import Envelope, to_headers
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_GENERATED, CHAT_REQUESTS, CHAT_RESPONSES, CHAT_RETRIEVED
from penstock.streaming import records
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.clock import BrokerClock, unix_ms
from penstock.streaming.errors import PermanentError, TransientError
from penstock.streaming.offsets import Offsets
from penstock.streaming.runner import Runner
from penstock.streaming.stage import (
    Batch,
    Caused,
    Each,
    Fold,
    Journaled,
    Outgoing,
    Received,
    Stage,
    Step,
)
from penstock.streaming.tracing import LINK_HEADER
from penstock.telemetry.work_context import current_work

NOW = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BEFORE = "00-4bf92f3577b34da6a3ce929d0e0e4736-1f2e3d4c5b6a7988-01"
QUESTION = ChatRequested(
    model="m", messages=(Message(role="user", content="a canary sings"),), sampling=Sampling()
)
ANSWER = AnswerCompleted(
    length=0, finish_reason="stop", usage=Usage(prompt_tokens=1, completion_tokens=0), citations=()
)


class Line:
    """Stages over a broker in memory, and the spans that they make."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self.broker = MemoryBroker()
        self._exporter = exporter

    async def ask(self, subject: str = "r1", event: Event = QUESTION, trace: str = NOW, **more: Any) -> None:
        """Write the first event of a request to chat.requests."""
        await self.write(CHAT_REQUESTS, subject, event, trace, **more)

    async def write(
        self, topic: Any, subject: str, event: Event, trace: str = NOW, header: Any = (), **more: Any
    ) -> None:
        """Write an event."""
        envelope = Envelope(
            id=f"id-{subject}",
            type=event.TYPE,
            source="/test",
            time_ms=unix_ms(),
            subject=subject,
            tenant="acme",
            traceparent=trace,
            **more,
        )
        if header:
            body = codec.encode(event)
            headers = [*to_headers(envelope), header]
            self.broker.append(topic.name, subject.encode(), body, headers)
            await self.broker.notify()
        else:
            await records.send(self.broker.producer(), topic, envelope, event)

    @asynccontextmanager
    async def running(self, stage: Stage) -> AsyncIterator[None]:
        """Run a stage; at the end stop and drain it."""
        offsets, stop = Offsets(), asyncio.Event()
        consumer = self.broker.consumer(stage.name, [t.name for t in stage.inputs], offsets.committable)
        producer, journal = self.broker.producer(), self.broker.reader()
        runner = Runner(
            stage, consumer, producer, offsets, BrokerClock(), journal=journal, instance=f"{stage.name}-7"
        )
        task = asyncio.create_task(runner.run(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, 15)

    def named(self, name: str) -> list[ReadableSpan]:
        """The spans of a name, by their ends."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    async def until(self, name: str, count: int = 1) -> list[ReadableSpan]:
        """Wait for so many spans of a name."""
        async with asyncio.timeout(20):
            while len(found := self.named(name)) < count:  # noqa: ASYNC110  # spans end without a word
                await asyncio.sleep(0.02)
        return found


@pytest.fixture
def line(spans: InMemorySpanExporter) -> Line:
    return Line(spans)


def each(handle: Any) -> Stage:
    return Stage("tokenization", (CHAT_REQUESTS,), Each(handle, lambda: 4), CHAT_RESPONSES)


async def answer(_received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
    yield Outgoing(CHAT_RESPONSES, ANSWER)


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def header_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"00-{trace_of(span)}-{span.context.span_id:016x}-01"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def event(span: ReadableSpan, name: str) -> dict[str, Any]:
    [found] = [event for event in span.events if event.name == name]
    return dict(found.attributes or {})


async def test_a_hop_is_a_handling_after_a_wait_and_a_sending_in_the_trace_of_the_record(line: Line) -> None:
    await line.ask()
    await asyncio.sleep(0.1)
    async with line.running(each(answer)):
        [send] = await line.until("send chat.responses")
        [process] = await line.until("process chat.requests")
    assert {trace_of(span) for span in (process, send)} == {NOW.split("-")[1]}
    assert process.parent is not None
    assert f"{process.parent.span_id:016x}" == NOW.split("-")[2]
    assert send.parent == process.context
    assert [span.kind for span in (process, send)] == [SpanKind.CONSUMER, SpanKind.PRODUCER]
    assert 90 <= attributes(process)["penstock.wait_ms"] < 10_000
    for span in (process, send):
        told = attributes(span)
        assert (told["penstock.request.id"], told["penstock.tenant"]) == ("r1", "acme")
        assert told["messaging.message.conversation_id"] == "r1"
    assert attributes(process)["messaging.client.id"] == "tokenization-7"
    [written] = line.broker.log(CHAT_RESPONSES.name)
    assert attributes(send)["messaging.destination.partition.id"] == str(written.partition.number)
    assert attributes(send)["messaging.kafka.offset"] == written.offset
    carried = records.envelope_of(written)
    assert carried is not None
    assert carried.traceparent == header_of(send)


async def test_what_waits_for_a_place_counts_as_waiting(line: Line) -> None:
    free = asyncio.Event()

    async def slow(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        await free.wait()
        async for outgoing in answer(received):
            yield outgoing

    stage = Stage("tokenization", (CHAT_REQUESTS,), Each(slow, lambda: 1), CHAT_RESPONSES)
    async with line.running(stage):
        await line.ask("r1")
        await line.ask("r2")
        await asyncio.sleep(0.2)
        free.set()
        _, second = await line.until("process chat.requests", 2)
    assert attributes(second)["penstock.wait_ms"] > 150


async def test_pieces_of_an_answer_have_no_spans_but_the_trace(line: Line) -> None:
    async def many(_received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        yield Outgoing(CHAT_GENERATED, GenerationStarted(model="m", passages=()))
        for start in range(20):
            yield Outgoing(CHAT_GENERATED, TextGenerated(start=start, text="x", tokens=1))

    async with line.running(each(many)):
        await line.ask()
        [process] = await line.until("process chat.requests")
    assert not line.named("send chat.generated")
    pieces = line.broker.log(CHAT_GENERATED.name)
    assert len(pieces) == 21
    carried = {envelope.traceparent for piece in pieces if (envelope := records.envelope_of(piece))}
    assert carried == {header_of(process), ""}  # the first says it for all


async def test_a_replayed_record_links_to_the_trace_before(line: Line) -> None:
    async with line.running(each(answer)):
        await line.ask("plain")
        await line.ask("replayed", header=(LINK_HEADER, BEFORE.encode()))
        await line.until("process chat.requests", 2)
    by_subject = {
        attributes(s)["messaging.message.conversation_id"]: s for s in line.named("process chat.requests")
    }
    assert not by_subject["plain"].links
    [link] = by_subject["replayed"].links
    assert f"{link.context.trace_id:032x}-{link.context.span_id:016x}" == "-".join(BEFORE.split("-")[1:3])
    assert trace_of(by_subject["replayed"]) == NOW.split("-")[1]


async def test_a_repetition_is_an_event_and_a_success_no_failure(line: Line) -> None:
    tries = 0

    async def flaky(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise TransientError("backend_unavailable", "a canary sings")
        async for outgoing in answer(received):
            yield outgoing

    async with line.running(each(flaky)):
        await line.ask()
        [process] = await line.until("process chat.requests")
    retries = [dict(e.attributes or {}) for e in process.events if e.name == "retry"]
    assert [(r["error.type"], r["penstock.attempt"]) for r in retries] == [
        ("backend_unavailable", 1),
        ("backend_unavailable", 2),
    ]
    assert process.status.is_unset


async def test_a_failure_is_its_code_and_its_way_to_the_dead_letters(line: Line) -> None:
    async def bad(_received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        raise PermanentError("chat_template", "a canary sings")
        yield

    async with line.running(each(bad)):
        await line.ask()
        [process] = await line.until("process chat.requests")
    assert attributes(process)["error.type"] == "chat_template"
    assert process.status.status_code is StatusCode.ERROR
    assert process.status.description is None
    [buried], [told] = line.named("send chat.requests.dlq"), line.named("send chat.responses")
    assert buried.parent == told.parent == process.context
    assert "canary" not in str([span.to_json() for span in (process, buried, told)])


async def test_an_unreadable_record_of_a_request_has_its_place_in_the_trace(line: Line) -> None:
    async with line.running(each(answer)):
        await line.ask(event=RequestFailed(code="c", message="m", status=500, stage="s"))
        [process] = await line.until("process chat.requests")
    assert attributes(process)["error.type"] == "invalid_event"
    assert line.named("send chat.requests.dlq")


async def test_records_handled_together_link_to_what_was_done_for_all(line: Line) -> None:
    async def together(batch: Sequence[Received[Event]]) -> Sequence[Caused]:
        return [Caused(one, Outgoing(CHAT_RESPONSES, ANSWER)) for one in batch]

    await line.ask("r1", trace=NOW)
    await line.ask("r2", trace=BEFORE)
    async with line.running(Stage("indexer", (CHAT_REQUESTS,), Batch(together), CHAT_RESPONSES)):
        await line.until("send chat.responses", 2)
        found = await line.until("process chat.requests", 3)
    [batch] = [span for span in found if "messaging.batch.message_count" in attributes(span)]
    one, other = sorted((span for span in found if span is not batch), key=trace_of)
    assert attributes(batch)["messaging.batch.message_count"] == 2
    assert trace_of(batch) not in {trace_of(one), trace_of(other)}
    assert {link.context.span_id for link in batch.links} == {
        span.context.span_id for span in (one, other) if span.context
    }
    assert batch.context is not None
    assert [link.context.span_id for span in (one, other) for link in span.links] == [
        batch.context.span_id
    ] * 2
    assert {trace_of(send) for send in line.named("send chat.responses")} == {trace_of(one), trace_of(other)}


async def test_parts_of_one_document_are_handled_within_its_trace(line: Line) -> None:
    async def together(_batch: Sequence[Received[Event]]) -> Sequence[Caused]:
        return []

    await line.ask("r1")
    await line.ask("r2")
    async with line.running(Stage("indexer", (CHAT_REQUESTS,), Batch(together), CHAT_RESPONSES)):
        found = await line.until("process chat.requests", 3)
    assert {trace_of(span) for span in found} == {NOW.split("-")[1]}


async def test_a_batch_that_is_split_says_why(line: Line) -> None:
    async def picky(batch: Sequence[Received[Event]]) -> Sequence[Caused]:
        if any(one.envelope.subject == "r1" for one in batch):
            raise PermanentError("invalid_vector", "a canary sings")
        return []

    await line.ask("r1", trace=NOW)
    await line.ask("r2", trace=BEFORE)
    async with line.running(Stage("indexer", (CHAT_REQUESTS,), Batch(picky), CHAT_RESPONSES)):
        await line.until("send chat.requests.dlq")
        found = await line.until("process chat.requests", 5)
    split = [s for s in found if any(e.name == "batch_split" for e in s.events)]
    assert len(split) == 2
    failed = [s for s in found if attributes(s).get("error.type") == "invalid_vector"]
    assert sorted("messaging.batch.message_count" in attributes(s) for s in failed) == [False, True]


async def test_an_owner_that_takes_over_links_to_what_the_one_before_began(line: Line) -> None:
    begun = f"00-{NOW.split('-')[1]}-00f067aa0ba902b7-01"
    number = line.broker.partition_of(b"r1", CHAT_RETRIEVED.partitions)
    usage = Usage(prompt_tokens=1, completion_tokens=1)

    async def handle(
        _received: Received[Event], earlier: Sequence[Event], _handover: asyncio.Event
    ) -> AsyncGenerator[Outgoing, None]:
        yield Outgoing(
            CHAT_GENERATED, GenerationFinished(length=len(earlier), finish_reason="stop", usage=usage)
        )

    await line.write(CHAT_REQUESTS, "r1", QUESTION)
    await line.write(CHAT_GENERATED, "r1", GenerationStarted(model="m", passages=()), begun)
    stage = Stage(
        "generation", (CHAT_REQUESTS,), Journaled(handle, lambda: 4, CHAT_GENERATED), CHAT_GENERATED
    )
    async with line.running(stage):
        [process] = await line.until("process chat.requests")
    assert attributes(process)["messaging.destination.partition.id"] == str(number)
    assert attributes(process)["penstock.epoch"] >= 1
    [link] = process.links
    assert f"{link.context.span_id:016x}" == begun.split("-")[2]


async def test_a_fold_is_one_span_from_the_first_record_to_the_last_and_tells_of_a_takeover(
    line: Line,
) -> None:
    def fold(count: int | None, received: Received[Event]) -> Step[int]:
        assert current_work().fields["request_id"] == received.envelope.subject
        return Step(None) if isinstance(received.event, GenerationFinished) else Step((count or 0) + 1)

    usage = Usage(prompt_tokens=1, completion_tokens=1)
    stage = Stage("postprocessing", (CHAT_GENERATED,), Fold(fold), CHAT_RESPONSES)
    async with line.running(stage):
        await line.write(CHAT_GENERATED, "r1", GenerationStarted(model="m", passages=()), epoch=1)
        await line.write(CHAT_GENERATED, "r1", TextGenerated(start=0, text="a", tokens=1), epoch=2)
        await line.write(CHAT_GENERATED, "r1", TextGenerated(start=1, text="b", tokens=2), epoch=2)
        end = GenerationFinished(length=2, finish_reason="stop", usage=usage)
        await line.write(CHAT_GENERATED, "r1", end, epoch=2)
        [process] = await line.until("process chat.generated")
    assert len(line.named("process chat.generated")) == 1
    assert event(process, "taken_over") == {"penstock.epoch": 2}
    assert current_work().fields == {}

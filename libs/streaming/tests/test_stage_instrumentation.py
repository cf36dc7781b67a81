"""What a stage tells of itself, read from the families of `/metrics`, over a broker in memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import kafka
import pytest
from opentelemetry.sdk.metrics.export import (
    DataPointT,
    HistogramDataPoint,
    NumberDataPoint,
)

from penstock.messages.chat import AnswerStarted, ChatRequested, Message, RequestFailed, Sampling
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.topics import Topic
from penstock.streaming import each, records
from penstock.streaming.adapters.kafka.client import Thread
from penstock.streaming.adapters.kafka.producer import KafkaRecordProducer
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.clock import BrokerClock
from penstock.streaming.errors import PermanentError, TransientError
from penstock.streaming.offsets import Offsets
from penstock.streaming.runner import Runner
from penstock.streaming.stage import Each, Fold, Outgoing, Received, Stage, Step
from penstock.telemetry import stage_metric_catalog
from penstock.telemetry.metric_definition import MetricDefinition

IN, OUT = Topic("in", 1, (ChatRequested, RequestFailed)), Topic("out", 1, (AnswerStarted, RequestFailed))
QUESTION = ChatRequested(model="m", messages=(Message(role="user", content="?"),), sampling=Sampling())
TOKENS = 40
Measured = Callable[[MetricDefinition], list[DataPointT]]


def value(measured: Measured, metric: MetricDefinition, **attributes: str) -> float:
    [point] = [p for p in measured(metric) if attributes.items() <= dict(p.attributes or {}).items()]
    assert isinstance(point, NumberDataPoint)
    assert set(point.attributes or {}) <= set(metric.attributes)
    return point.value


def _weight(event: Event) -> int:
    assert isinstance(event, ChatRequested)
    return TOKENS


class Line:
    """One stage from IN to OUT, whose time the test sets."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.broker = MemoryBroker([IN, OUT], lambda: self.now_ms)
        self.producer = self.broker.producer()

    async def send(self, subject: str, epoch: int = 0, event: Event | None = None) -> None:
        event = event or QUESTION
        envelope = Envelope(
            id=f"{subject}-{epoch}",
            type=event.TYPE,
            source="/t",
            time_ms=0,
            subject=subject,
            tenant="acme",
            epoch=epoch,
        )
        await records.send(self.producer, IN, envelope, event)

    @asynccontextmanager
    async def running(self, processing: Each | Fold[object]) -> AsyncIterator[None]:
        stage = Stage("stage", (IN,), processing, OUT, weigh=_weight)
        offsets, stop = Offsets(), asyncio.Event()
        consumer = self.broker.consumer("stage", [IN.name], offsets.committable)
        clock = BrokerClock(lambda: self.now_ms)
        task = asyncio.create_task(Runner(stage, consumer, self.producer, offsets, clock).run(stop))
        await asyncio.sleep(0)  # it begins
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, 30)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.02)


async def test_what_waits_is_told_in_records_and_tokens_and_with_its_age(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(each, "LOOKAHEAD_BYTES", 0)
    line, go_on = Line(), asyncio.Event()

    async def handle(_: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        await go_on.wait()
        yield Outgoing(OUT, AnswerStarted(model="m"))

    def now(metric: MetricDefinition) -> float:
        return value(measured, metric)

    async with line.running(Each(handle, lambda: 1)):
        await until(lambda: now(stage_metric_catalog.PARTITIONS) == 1)
        assert (
            now(stage_metric_catalog.LAG)
            == now(stage_metric_catalog.LAG_TOKENS)
            == now(stage_metric_catalog.OLDEST_AGE)
            == 0
        )
        failed = RequestFailed(code="refused", message="It was refused.", status=400, stage="before")
        await line.send("failed", event=failed)  # weighs nothing
        for number in range(4):
            await line.send(f"r{number}")
        await until(lambda: now(stage_metric_catalog.LAG) == 3)  # one is in hand
        assert now(stage_metric_catalog.LAG_TOKENS) == 3 * TOKENS
        assert now(stage_metric_catalog.HELD) > 1
        await until(lambda: now(stage_metric_catalog.PAUSED) == 1)
        for number in range(4, 9):
            await line.send(f"r{number}")
        await until(
            lambda: now(stage_metric_catalog.LAG) == 8
        )  # those that are not read while it is full, too
        line.now_ms += 90_000
        assert now(stage_metric_catalog.OLDEST_AGE) == 90
        assert now(stage_metric_catalog.WATERMARK_AGE) > 0
        go_on.set()
        await until(lambda: now(stage_metric_catalog.CONSUMED) == 10 and now(stage_metric_catalog.HELD) == 0)
        await until(lambda: now(stage_metric_catalog.LAG) == 0)
        assert (
            now(stage_metric_catalog.WATERMARK_AGE)
            == now(stage_metric_catalog.OLDEST_AGE)
            == now(stage_metric_catalog.PAUSED)
            == 0
        )
    assert measured(stage_metric_catalog.LAG) == []  # a stage that has ended tells nothing


async def test_failures_retries_and_dead_letters_are_counted(measured: Measured) -> None:
    line, tried = Line(), 0

    async def handle(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        nonlocal tried
        tried += 1
        if received.envelope.subject == "bad":
            raise PermanentError("no_good", "It is no good.")
        if tried < 3:
            raise TransientError("away", "It is away.")
        yield Outgoing(OUT, AnswerStarted(model="m"))

    async with line.running(Each(handle, lambda: 1)):
        assert (
            value(measured, stage_metric_catalog.DEAD_LETTERS)
            == value(measured, stage_metric_catalog.RETRIES)
            == 0
        )
        await line.send("good")
        await line.send("bad")
        await until(lambda: value(measured, stage_metric_catalog.DEAD_LETTERS) == 1)
        assert value(measured, stage_metric_catalog.RETRIES) == 2
        await until(lambda: len(measured(stage_metric_catalog.PROCESS_DURATION)) == 2)
        done = measured(stage_metric_catalog.PROCESS_DURATION)
    by_error = {(point.attributes or {}).get("error.type"): point for point in done}
    assert by_error.keys() == {None, "no_good"}
    for point in done:
        assert isinstance(point, HistogramDataPoint)
        assert point.count == 1
        assert set(point.attributes or {}) <= set(stage_metric_catalog.PROCESS_DURATION.attributes)


async def test_records_of_a_replaced_owner_are_counted(measured: Measured) -> None:
    line = Line()
    fold: Fold[object] = Fold(lambda _state, _received: Step(None))
    async with line.running(fold):
        await line.send("r1", epoch=2)
        await line.send("r2", epoch=1)
        await until(lambda: value(measured, stage_metric_catalog.FENCED) == 1)
        await until(lambda: value(measured, stage_metric_catalog.HELD) == 0)


class Client:
    """Stands for kafka-python's producer; the test acknowledges what is sent."""

    def __init__(self) -> None:
        self.sent: list[kafka.future.Future] = []

    def send(self, _topic: str, **_: object) -> kafka.future.Future:
        self.sent.append(kafka.future.Future())
        return self.sent[-1]

    def close(self, **_: object) -> None:
        """Nothing is open."""


async def test_what_was_sent_and_what_was_not_acknowledged_is_counted(measured: Measured) -> None:
    client, loop = Client(), asyncio.get_running_loop()
    producer = KafkaRecordProducer(client, Thread("t"), loop, BrokerClock())
    first, second = (producer.send("out", b"key", b"value", []) for _ in range(2))
    assert value(measured, stage_metric_catalog.PENDING) == 16
    client.sent[0].success(SimpleNamespace(timestamp=0, offset=0, partition=0))
    client.sent[1].failure(kafka.errors.NotLeaderForPartitionError())
    await first
    assert isinstance(await asyncio.gather(second, return_exceptions=True), list)
    assert value(measured, stage_metric_catalog.PENDING) == 0
    told = {(p.attributes or {}).get("error.type"): p for p in measured(stage_metric_catalog.SENT)}
    assert told.keys() == {None, "NotLeaderForPartitionError"}
    assert [p.value for p in told.values() if isinstance(p, NumberDataPoint)] == [1, 1]
    await producer.close()
    assert measured(stage_metric_catalog.SENT) == []

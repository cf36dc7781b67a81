"""The loop of one stage: poll, decode, handle, produce, acknowledge, commit."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from opentelemetry import trace

from penstock.messages.envelope import Envelope
from penstock.messages.event import InvalidEvent
from penstock.messages.topics import Topic
from penstock.streaming import records
from penstock.streaming.batch import BatchProcessor
from penstock.streaming.clock import BrokerClock
from penstock.streaming.each import EachProcessor
from penstock.streaming.errors import PermanentError
from penstock.streaming.failures import Failures
from penstock.streaming.fold import FoldProcessor
from penstock.streaming.journal import JournalProcessor
from penstock.streaming.offsets import Offsets
from penstock.streaming.outbox import Outbox
from penstock.streaming.ports import BrokerError, Consumer, Partition, Polled, Producer, Reader, Record
from penstock.streaming.processors import Processor, RunnerContext, Work
from penstock.streaming.quarantine import Quarantine, Tolerance
from penstock.streaming.share import Share
from penstock.streaming.stage import Batch, Each, Journaled, Stage
from penstock.streaming.stage_instrumentation import StageMeter
from penstock.streaming.takeover import Takeover
from penstock.streaming.tracing import Spans, work_context
from penstock.telemetry.instruments import watched
from penstock.telemetry.spans import current
from penstock.telemetry.work_context import set_work_context

POLL_SECONDS = 0.1
IDLE_POLL_SECONDS = 1.0
COMMIT_SECONDS = 0.2
LOOK_SECONDS = 2.0
DRAIN_SECONDS = 8.0
_JOIN_SECONDS = 3.0  # a poll amid a join may take that long
log = structlog.get_logger()


class Runner:
    """Runs one stage until told to stop.

    `offsets` is made by the caller, who gives its `committable` to the consumer. A Journaled stage needs a
    reader for its `journal` and the `instance` name of this process. `quarantined` is told why no more
    records are taken, when more are invalid than the `tolerance` allows. After `session_seconds` without a
    sign the group gives our partitions to others. `run` raises BrokerError
    when the broker no longer takes records: then nothing is committed that was not acknowledged, and a
    new process starts where this one left off.
    """

    def __init__(
        self,
        stage: Stage,
        consumer: Consumer,
        producer: Producer,
        offsets: Offsets,
        clock: BrokerClock | None = None,
        journal: Reader | None = None,
        instance: str = "",
        tolerance: Tolerance = Tolerance(),  # noqa: B008  # a constant
        quarantined: Callable[[str], None] = lambda _: None,
        session_seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage = stage
        self._topics = {topic.name: topic for topic in stage.inputs}
        self._consumer = consumer
        self._producer = producer
        self._offsets = offsets
        self._clock = clock or BrokerClock()
        self._spans = Spans(trace.get_tracer("penstock.streaming"), stage.name, instance, self._clock.likely)
        self._outbox = Outbox(stage, producer, self._spans, self._clock)
        self._failures = Failures(self._outbox)
        self._meter = StageMeter(stage, offsets, self._clock, self._outbox.buried, monotonic)
        means = RunnerContext(self._outbox, self._failures, self._spans, self._clock, self._meter)
        self._processor = _processor(stage, means, lambda topic: self._takeover(topic, journal, instance))
        offsets.note = self._processor.note
        self._meter.waiting = self._processor.waiting
        self._quarantine = Quarantine(tolerance)
        self._quarantined = quarantined
        self._rejecting: set[asyncio.Task[None]] = set()
        self._committing: asyncio.Task[None] | None = None
        self._next_commit = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._next_look = 0.0
        self._session_seconds = session_seconds
        self._monotonic = monotonic
        self._awake = monotonic()
        self._paused = False

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; then finish what runs, commit it and leave the group."""
        with watched(self._meter.reads()):
            stopping = asyncio.create_task(stop.wait())
            try:
                await self._run(stopping)
            finally:
                stopping.cancel()

    async def _run(self, stopping: asyncio.Task[bool]) -> None:
        polling: asyncio.Task[Polled] | None = None
        try:
            while not stopping.done():
                wait = POLL_SECONDS if self._is_busy else IDLE_POLL_SECONDS
                polling = asyncio.create_task(self._consumer.poll(wait))
                if not await _before(stopping, polling):
                    break
                await self._stay_if_awake(wait)
                self._take(polling.result())
                await self._turn(stopping)
            await self._processor.drain(DRAIN_SECONDS)
            if self._rejecting:
                await asyncio.wait(self._rejecting, timeout=DRAIN_SECONDS)
            await self._commit()
        finally:
            for task in (polling, self._looking):
                if task is not None:
                    task.cancel()
            with suppress(BrokerError):
                await self._consumer.close()

    @property
    def _is_busy(self) -> bool:
        """Whether something is in flight or to be committed, which is looked at several times a second."""
        return (
            self._paused or self._offsets.in_flight > 0 or self._offsets.has_news or not self._consumer.joined
        )

    def _take(self, polled: Polled) -> None:
        self._offsets.drop(polled.revoked)
        self._processor.revoke(polled.revoked)
        for partition, committed in polled.assigned.items():
            self._processor.assign(partition, committed.note)
            self._offsets.begin(partition, committed)
        if polled.revoked or polled.assigned:
            self._share_out()
        for record in polled.records:
            # One that was fetched before its partition went belongs to the next owner.
            if self._quarantine.reason is None and record.partition in self._offsets.owned:
                self._accept(record)

    def _share_out(self) -> None:
        processing = self._stage.processing
        if isinstance(processing, Journaled):
            owned = frozenset(partition.number for partition in self._offsets.owned)
            processing.shared(Share(owned, self._consumer.partitions(self._stage.inputs[0].name)))

    def _takeover(self, topic: Topic, journal: Reader | None, instance: str) -> Takeover:
        assert journal is not None  # noqa: S101  # the worker opens one for such a stage
        return Takeover(topic, instance, journal, self._producer, self._confirm, self._clock)

    async def _confirm(self, partition: Partition) -> bool:
        position = self._offsets.committable(partition)
        return position is not None and await self._consumer.confirm(partition, position)

    async def _stay_if_awake(self, wait: float) -> None:
        """Raise BrokerError if this process was stopped for so long that others have taken its place.

        It would read on from where it was, and take up work that has ended since. A poll of `wait` seconds
        lies behind us.
        """
        now = self._monotonic()
        slept, self._awake = now - self._awake - wait, now
        owned = next(iter(self._offsets.owned), None)
        if slept > self._session_seconds + _JOIN_SECONDS and owned and not await self._confirm(owned):
            raise BrokerError(f"stopped for {slept:.0f} s, and no longer a member of its group")

    async def _turn(self, stopping: asyncio.Task[bool]) -> None:
        """Do what each round needs besides reading: react to failures, pause or resume, commit."""
        self._processor.tick()
        for task in [task for task in self._rejecting if task.done()]:
            self._rejecting.remove(task)
            task.result()
        if self._producer.broken:
            raise BrokerError("the producer has given up a record: another process must take our place")
        if self._producer.is_full and not await _before(stopping, asyncio.create_task(self._producer.room())):
            return
        full = self._processor.is_full or self._quarantine.reason is not None
        if full != self._paused:
            self._paused = self._meter.is_paused = full
            await (self._consumer.pause() if self._paused else self._consumer.resume())
        now = self._monotonic()
        if now >= self._next_commit and (self._committing is None or self._committing.done()):
            self._next_commit = now + COMMIT_SECONDS
            self._committing = asyncio.create_task(self._commit())
        if self._is_busy and now >= self._next_look and (self._looking is None or self._looking.done()):
            self._next_look = now + LOOK_SECONDS
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Learn how much is still to be read; not to know that for a while does no harm."""
        now_ms = self._clock()
        with suppress(BrokerError):
            self._meter.ends = await self._consumer.ends()
            marks = self._offsets.marks()
            read = [p for p, end in self._meter.ends.items() if p in marks and marks[p].position >= end]
            self._processor.caught_up(read, now_ms)
        self._share_out()  # how many partitions there are may be known a while after the rebalance

    def _accept(self, record: Record) -> None:
        self._clock.read(record.timestamp_ms)
        topic = self._topics[record.partition.topic]
        done = self._offsets.add(record.partition, record.offset, self._meter.arrival(record))
        if records.takes_back(record, topic):
            done()
            return
        try:
            received = records.decode(record, topic)
        except InvalidEvent as error:
            self._watch(valid=False)
            self._rejecting.add(asyncio.create_task(self._reject(record, str(error), done)))
        else:
            self._watch(valid=True)
            self._meter.weigh(received.event)
            self._processor.submit(Work(record, topic, received, done))

    def _watch(self, *, valid: bool) -> None:
        """Take note of a record, which may be the one too many: a valid one, too, completes a window."""
        before = self._quarantine.reason
        self._quarantine.saw(valid=valid)
        if before is None and self._quarantine.reason is not None:
            log.error("quarantined", stage=self._stage.name, reason=self._quarantine.reason)
            self._quarantined(self._quarantine.reason)

    async def _reject(self, record: Record, error: str, done: Callable[[], None]) -> None:
        """Bury a record that is no event; if its headers can be read, fail the request it belongs to."""
        topic = self._topics[record.partition.topic]
        envelope = records.envelope_of(record)
        if envelope is None:
            log.warning("invalid_record", topic=topic.name, offset=record.offset, error=error)
            await self._outbox.bury(record, topic, error)
        else:
            owning = await self._processor.owning(record.partition, envelope)
            if owning is None:
                return  # the next owner meets the record, too
            await self._fail_or_bury(record, topic, owning, error)
        done()

    async def _fail_or_bury(self, record: Record, topic: Topic, envelope: Envelope, error: str) -> None:
        set_work_context(work_context(topic.name, envelope))
        with current(self._spans.process(envelope, record)) as span:
            if self._processor.abandon(record.partition, envelope.subject):
                invalid = PermanentError("invalid_event", f"A record of the request was invalid: {error}")
                await self._failures.fail(record, topic, envelope, invalid, span)
            else:
                await self._outbox.bury(record, topic, error, envelope, span)

    async def _commit(self) -> None:
        news = self._offsets.take_news()
        if not news:
            return
        try:
            await self._consumer.commit(news)
        except BrokerError as error:
            log.warning("commit_failed", stage=self._stage.name, error=str(error))
            self._offsets.retake(news)


async def _before(stopping: asyncio.Task[bool], work: asyncio.Task[Any]) -> bool:
    """Wait for a work, and return True, or raise what it does; or return False when the stop comes first."""
    await asyncio.wait((stopping, work), return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
        return True
    work.cancel()
    return False


def _processor(stage: Stage, means: RunnerContext, takeover: Callable[[Topic], Takeover]) -> Processor:
    processing = stage.processing
    if isinstance(processing, Each):
        return EachProcessor(processing, means)
    if isinstance(processing, Journaled):
        return JournalProcessor(processing, means, takeover(processing.journal))
    if isinstance(processing, Batch):
        return BatchProcessor(processing, means)
    return FoldProcessor(processing, means)

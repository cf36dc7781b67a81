"""Events one by one, many at a time: completion in any order."""

import asyncio
import itertools
from collections import deque
from collections.abc import Collection, Iterable
from contextlib import aclosing

from opentelemetry import trace

from penstock.messages.envelope import Envelope
from penstock.streaming.acknowledgements import Acknowledgements
from penstock.streaming.attempts import attempt
from penstock.streaming.ports import Partition
from penstock.streaming.processors import RunnerContext, Work
from penstock.streaming.stage import Each
from penstock.streaming.tracing import work_context
from penstock.telemetry.spans import current
from penstock.telemetry.work_context import set_work_context

LOOKAHEAD_BYTES = 8 << 20
"""So much of what waits is read ahead, so that its deadlines and cancellations are looked at."""
_HELD_BYTES = 2048
SWEEP_SECONDS = 0.25


class EachProcessor:
    """Runs an `Each` stage (port: Processor).

    Records wait for one of `concurrency()` slots, up to LOOKAHEAD_BYTES of them. What needs none is not kept
    waiting: a request that has failed already, is past its deadline, or is given up.
    """

    def __init__(self, processing: Each, means: RunnerContext) -> None:
        self._handle = processing.handle
        self._concurrency = processing.concurrency
        self._retry_seconds = processing.retry_seconds
        self._outbox, self._failures, self._spans, self._clock_ms, self._meter = means
        self._waiting: deque[Work] = deque()
        self._waiting_bytes = 0
        self._running: set[asyncio.Task[None]] = set()
        self._broken: BaseException | None = None
        self._next_sweep = 0.0

    def submit(self, work: Work) -> None:
        if self._needs_no_slot(work):
            self._run(work)
        else:
            self._waiting.append(work)
            self._waiting_bytes += size_of(work)
            self._start()

    @property
    def is_full(self) -> bool:
        return self._waiting_bytes > LOOKAHEAD_BYTES

    def waiting(self, topic: str) -> int:
        return sum(work.topic.name == topic for work in list(self._waiting))

    def tick(self) -> None:
        if self._broken is not None:
            raise self._broken
        self._start()
        if self._waiting and self._meter.now() >= self._next_sweep:
            self._next_sweep = self._meter.now() + SWEEP_SECONDS
            self._sweep()

    async def owning(self, _partition: Partition, cause: Envelope, /) -> Envelope | None:
        return cause

    def abandon(self, _partition: Partition, _subject: str, /) -> bool:
        return True  # each event stands for itself: there is no state to forget

    def assign(self, partition: Partition, note: str) -> None:
        """Each event stands for itself: nothing goes before it."""

    def note(self, _partition: Partition, _offset: int, /) -> str:
        return ""

    def caught_up(self, partitions: Collection[Partition], at_ms: int) -> None:
        """Each event stands for itself: nothing waits for the end of the log."""

    def revoke(self, partitions: Collection[Partition]) -> None:
        self._keep(work for work in self._waiting if work.received.partition not in partitions)

    async def drain(self, seconds: float) -> None:
        self._keep(())
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._concurrency():
            work = self._waiting.popleft()
            self._waiting_bytes -= size_of(work)
            self._run(work)

    def _keep(self, works: Iterable[Work]) -> None:
        self._waiting = deque(works)
        self._waiting_bytes = sum(map(size_of, self._waiting))

    def _run(self, work: Work) -> None:
        task = asyncio.create_task(self._process(work))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _sweep(self) -> None:
        """End what would only wait for a slot to be told that it is over."""
        over, waiting = list[Work](), list[Work]()
        for work in self._waiting:
            (over if self._needs_no_slot(work) else waiting).append(work)
        if over:
            self._keep(waiting)
            for work in over:
                self._run(work)

    def _needs_no_slot(self, work: Work) -> bool:
        event, envelope = work.received.event, work.received.envelope
        return event.TERMINAL or 0 < envelope.deadline_ms <= self._clock_ms()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error
        else:
            self._start()

    async def _process(self, work: Work) -> None:
        envelope = work.received.envelope
        began = self._meter.now()
        set_work_context(work_context(work.topic.name, envelope))
        with current(self._spans.process(envelope, work.record, self._begun(work))) as span:
            error = await attempt(
                lambda deadline: self._emit_all(work, span, deadline),
                envelope,
                self._clock_ms,
                self._meter.retried,
                self._retry_seconds,
            )
            if error is not None:
                await self._failures.fail(work.record, work.topic, envelope, error, span)
            self._meter.processed(work.topic.name, began, span, error)
        work.done()

    async def _emit_all(self, work: Work, span: trace.Span, deadline: asyncio.Timeout) -> None:
        received, acks = work.received, Acknowledgements()
        if received.event.TERMINAL:
            acks.add(self._outbox.pass_on(received, span))
        else:
            nth = itertools.count()
            async with aclosing(self._handle(received)) as outgoing:
                async for item in outgoing:
                    number = received.partition.number
                    acks.add(self._outbox.emit(received.envelope, item, next(nth), span, number))
                    if item.event.TERMINAL:
                        deadline.reschedule(None)  # it has its end: a late acknowledgement makes no other
                    await self._outbox.room()
        await acks.all()
        if acks.last is not None:
            self._acknowledged(work, acks.last)

    def _begun(self, work: Work) -> str:  # noqa: ARG002  # for those who take over what others began
        """Return the `traceparent` of the span in which an owner before us handled the same event, if any."""
        return ""

    def _acknowledged(self, work: Work, offset: int) -> None:
        """All that a work has caused stands in the log, up to this offset."""


def size_of(work: Work) -> int:
    """Return about how many bytes a record that waits takes: its body, and the objects that hold it."""
    return len(work.record.value or b"") + _HELD_BYTES

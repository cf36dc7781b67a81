"""Events one by one, many at a time: completion in any order."""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import aclosing

from opentelemetry import trace

from penstock.messages.envelope import Envelope
from penstock.streaming.attempts import attempt
from penstock.streaming.ports import Partition
from penstock.streaming.processors import Means, Work
from penstock.streaming.stage import Each
from penstock.streaming.tracing import about
from penstock.telemetry.about import work_for
from penstock.telemetry.spans import current


class EachProcessor:
    """Runs an `Each` stage (port: Processor)."""

    def __init__(self, processing: Each, means: Means) -> None:
        self._handle = processing.handle
        self._concurrency = processing.concurrency
        self._retry_seconds = processing.retry_seconds
        self._outbox, self._failures, self._spans, self._clock_ms, self._meter = means
        self._waiting: deque[Work] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._broken: BaseException | None = None

    def submit(self, work: Work) -> None:
        self._waiting.append(work)
        self._start()

    @property
    def is_full(self) -> bool:
        return len(self._waiting) > self._concurrency()

    def waiting(self, topic: str) -> int:
        return sum(work.topic.name == topic for work in list(self._waiting))

    def tick(self) -> None:
        if self._broken is not None:
            raise self._broken
        self._start()

    async def owning(self, _partition: Partition, cause: Envelope, /) -> Envelope | None:
        return cause

    def abandon(self, partition: Partition, subject: str) -> None:
        """Each event stands for itself: there is no state to forget."""

    def assign(self, partition: Partition, note: str) -> None:
        """Each event stands for itself: nothing goes before it."""

    def note(self, _partition: Partition, _offset: int, /) -> str:
        return ""

    def revoke(self, partitions: Collection[Partition]) -> None:
        self._waiting = deque(w for w in self._waiting if w.received.partition not in partitions)

    async def drain(self, seconds: float) -> None:
        self._waiting.clear()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._concurrency():
            task = asyncio.create_task(self._process(self._waiting.popleft()))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error
        else:
            self._start()

    async def _process(self, work: Work) -> None:
        envelope = work.received.envelope
        began = self._meter.now()
        work_for(about(work.topic.name, envelope))
        with current(self._spans.process(envelope, work.record, self._begun(work))) as span:
            error = await attempt(
                lambda: self._emit_all(work, span),
                envelope,
                self._clock_ms,
                self._meter.retried,
                self._retry_seconds,
            )
            if error is not None:
                await self._failures.fail(work.record, work.topic, envelope, error, span)
            self._meter.processed(work.topic.name, began, span, error)
        work.done()

    async def _emit_all(self, work: Work, span: trace.Span) -> None:
        acks: list[asyncio.Future[int]] = []
        async with aclosing(self._handle(work.received)) as outgoing:
            async for item in outgoing:
                acks.append(self._outbox.emit(work.received.envelope, item, len(acks), span))
                await self._outbox.room()
        self._acknowledged(work, await asyncio.gather(*acks))

    def _begun(self, work: Work) -> str:  # noqa: ARG002  # for those who take over what others began
        """Return the `traceparent` of the span in which an owner before us handled the same event, if any."""
        return ""

    def _acknowledged(self, work: Work, offsets: Sequence[int]) -> None:
        """All that a work has caused stands at these offsets."""

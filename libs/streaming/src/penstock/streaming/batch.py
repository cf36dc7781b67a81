"""Events together, in their order: one batch at a time."""

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Sequence

from opentelemetry.trace import Span, use_span

from penstock.messages.envelope import Envelope
from penstock.streaming.acknowledgements import Acknowledgements
from penstock.streaming.attempts import attempt
from penstock.streaming.errors import HandlerError
from penstock.streaming.ports import Partition
from penstock.streaming.processors import RunnerContext, Work
from penstock.streaming.stage import Batch
from penstock.streaming.tracing import work_context
from penstock.telemetry import names
from penstock.telemetry.spans import current, fail
from penstock.telemetry.work_context import set_work_context


class BatchProcessor:
    """Runs a `Batch` stage (port: Processor)."""

    def __init__(self, processing: Batch, means: RunnerContext) -> None:
        self._handle = processing.handle
        self._size = processing.size
        self._outbox, self._failures, self._spans, self._clock_ms, self._meter = means
        self._waiting: deque[Work] = deque()
        self._running: asyncio.Task[None] | None = None

    def submit(self, work: Work) -> None:
        self._waiting.append(work)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) > self._size

    def waiting(self, topic: str) -> int:
        return sum(work.topic.name == topic for work in list(self._waiting))

    def tick(self) -> None:
        if self._running is not None and self._running.done():
            self._running.result()
            self._running = None
        if self._running is None and self._waiting:
            count = min(self._size, len(self._waiting))
            works = [self._waiting.popleft() for _ in range(count)]
            self._running = asyncio.create_task(self._process(works))

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
        self._waiting = deque(w for w in self._waiting if w.received.partition not in partitions)

    async def drain(self, seconds: float) -> None:
        self._waiting.clear()
        if self._running is not None:
            _, late = await asyncio.wait([self._running], timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _process(self, works: Sequence[Work]) -> None:
        """Handle works together; if that fails for good, one by one, so that only the faulty one is lost."""
        began = self._meter.now()
        spans = [self._spans.process(w.received.envelope, w.record) for w in works]
        try:
            error = await self._together(works, spans)
            await self._end(works, spans, error)
            if error is None or len(works) == 1:  # else each has been measured by itself
                for work, span in zip(works, spans, strict=True):
                    self._meter.processed(work.topic.name, began, span, error)
        finally:
            for span in spans:
                span.end()

    async def _end(self, works: Sequence[Work], spans: Sequence[Span], error: HandlerError | None) -> None:
        if error is None:
            for work in works:
                work.done()
        elif len(works) == 1:
            await self._failures.fail(
                works[0].record, works[0].topic, works[0].received.envelope, error, spans[0]
            )
            works[0].done()
        else:
            for span in spans:
                span.add_event(names.EVENT_SPLIT, {names.ERROR_TYPE: error.code})
            for work in works:
                await self._process([work])

    async def _together(self, works: Sequence[Work], spans: Sequence[Span]) -> HandlerError | None:
        """Handle works within a span: that of the only one, or one of their own for many."""
        if len(works) == 1:
            set_work_context(work_context(works[0].topic.name, works[0].received.envelope))
            with use_span(spans[0], record_exception=False, set_status_on_exception=False):
                return await self._attempt(works, spans)
        with current(self._spans.batch(works[0].topic.name, spans)) as span:
            error = await self._attempt(works, spans)
            if error is not None:
                fail(span, error.code)
            return error

    async def _attempt(self, works: Sequence[Work], spans: Sequence[Span]) -> HandlerError | None:
        by_cause = {id(work.received): span for work, span in zip(works, spans, strict=True)}

        async def handle(_: asyncio.Timeout) -> None:
            acks = Acknowledgements()
            counts: Counter[int] = Counter()  # per cause: the same in whatever batch it comes again
            for cause, outgoing in await self._handle([work.received for work in works]):
                nth = counts[id(cause)]
                counts[id(cause)] += 1
                span, number = by_cause[id(cause)], cause.partition.number
                acks.add(self._outbox.emit(cause.envelope, outgoing, nth, span, number))
            await acks.all()

        return await attempt(handle, works[0].received.envelope, self._clock_ms, self._meter.retried)

"""Events folded into the state of their subject, in log order; committed when the subject has ended."""

import asyncio
from collections.abc import Collection, Coroutine
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Span

from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.reading import Fence
from penstock.streaming.acknowledgements import Acknowledgements
from penstock.streaming.attempts import DeadlineExceeded, fault, too_large
from penstock.streaming.errors import HandlerError, PermanentError
from penstock.streaming.ports import Partition, RecordTooLarge
from penstock.streaming.processors import RunnerContext, Work
from penstock.streaming.stage import Fold, Outgoing, Received
from penstock.streaming.tracing import work_context
from penstock.telemetry import names
from penstock.telemetry.spans import current
from penstock.telemetry.work_context import WorkContext, use_work_context

GRACE_MS = 2_000  # past its deadline, for the one who ends requests to say so
KEPT_MS = 600_000
"""For how long past its deadline a subject that we ended waits for its own end in the log."""
SWEEP_SECONDS = 0.25
_NEVER_MS = 1 << 62
_MAX_ENDING = 256
_MAX_RISES = 1_000


@dataclass(slots=True)
class _Subject:
    """One open subject: its state, and the first of its records, which holds the commit back.

    `error` says why we have ended it ourselves, if we have: then the log may still hold an end of its own,
    which must not count. `first` is None if none of its records could be read.
    """

    first: Work | None
    whom: WorkContext
    span: Span
    began: float
    epoch: int
    due_ms: int
    state: object = None
    acks: Acknowledgements = field(default_factory=Acknowledgements)
    emitted: int = 0
    error: HandlerError | None = None
    failing: asyncio.Task[None] | None = None


class _Epochs:
    """The fence of one partition, and at which offsets it rose: a restart needs the epoch of its offset."""

    def __init__(self, epoch: int) -> None:
        self._fence = Fence(epoch)
        self._rises = [(0, epoch)]

    def admits(self, epoch: int, offset: int) -> bool:
        """Take note of the next record's epoch, and return whether the record counts."""
        if epoch > self._fence.epoch:
            self._rises = [*self._rises[-_MAX_RISES:], (offset, epoch)]
        return self._fence.admits(epoch)

    def before(self, offset: int) -> int:
        """Return the highest epoch of the records before `offset`."""
        rises = self._rises
        return next((epoch for start, epoch in reversed(rises) if start < offset), rises[0][1])


class FoldProcessor:
    """Runs a `Fold` stage (port: Processor).

    Records of an epoch that a later owner has replaced are skipped (`penstock.messages.reading`); the epoch
    up to the committed offset is kept with the commit. Deadlines go by the log's own time: that of the last
    record read, or of the last look at a partition's end if nothing before it is unread. So a stage that
    was away, or is behind, fails no answer whose end it has yet to read.
    """

    def __init__(self, processing: Fold[object], means: RunnerContext) -> None:
        self._handle = processing.handle
        self._outbox, self._failures, self._spans, _, self._meter = means
        self._open: dict[tuple[Partition, str], _Subject] = {}
        self._epochs: dict[Partition, _Epochs] = {}
        self._log_ms: dict[Partition, int] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._broken: BaseException | None = None
        self._next_sweep = 0.0

    def submit(self, work: Work) -> None:
        received = work.received
        self._read(received.partition, work.record.timestamp_ms)
        if not self._epochs[received.partition].admits(received.envelope.epoch, received.offset):
            self._meter.fenced[work.topic.name] += 1
            work.done()
            return
        key = (received.partition, received.envelope.subject)
        subject = self._open.get(key)
        if subject is None:
            subject = self._open[key] = self._begin(work)
        elif subject.epoch != received.envelope.epoch:
            subject.epoch = received.envelope.epoch
            subject.span.add_event(names.EVENT_TAKEN_OVER, {names.PENSTOCK_EPOCH: subject.epoch})
        with use_work_context(subject.whom):
            self._take(key, subject, work)
        if subject.first is not work:
            work.done()  # the first one holds the commit back, and so all that follow are read again

    def _take(self, key: tuple[Partition, str], subject: _Subject, work: Work) -> None:
        if subject.error is None and subject.due_ms < work.record.timestamp_ms:
            self._fail(subject, DeadlineExceeded(), work)
        over = self._fold(subject, work) if subject.error is None else work.received.event.TERMINAL
        if over:
            self._end(key)

    def _fold(self, subject: _Subject, work: Work) -> bool:
        """Fold one event, and return whether it is the last of its subject."""
        try:
            step = self._handle(subject.state, work.received)
        except HandlerError as error:
            self._fail(subject, error, work)
            return work.received.event.TERMINAL
        except Exception as error:  # noqa: BLE001  # the last line of defence: a fault must not stop the stage
            self._fail(subject, fault(error, work.received.envelope), work)
            return work.received.event.TERMINAL
        for outgoing in step.outgoing:
            self._emit(subject, work.received, outgoing)
        subject.state = step.state
        return step.state is None

    @property
    def is_full(self) -> bool:
        return len(self._ending) > _MAX_ENDING

    def waiting(self, _topic: str) -> int:
        return 0  # what comes is folded at once

    def tick(self) -> None:
        if self._broken is not None:
            raise self._broken
        now = self._meter.now()
        if self._open and now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep()

    def _sweep(self) -> None:
        """End what is past its deadline, and forget what we ended long ago."""
        for key, subject in list(self._open.items()):
            log_ms = self._log_ms.get(key[0], 0)
            if subject.error is not None:
                if subject.due_ms + KEPT_MS < log_ms:
                    self._end(key)
            elif subject.due_ms < log_ms and subject.first is not None:
                self._fail(subject, DeadlineExceeded(), subject.first)

    async def owning(self, _partition: Partition, cause: Envelope, /) -> Envelope | None:
        return cause

    def abandon(self, partition: Partition, subject: str, /) -> bool:
        key = (partition, subject)
        known = self._open.get(key)
        if known is None:
            due_ms = self._log_ms.get(partition, 0)
            self._open[key] = _Subject(
                None, WorkContext(subject), INVALID_SPAN, self._meter.now(), 0, due_ms, error=_unreadable()
            )
            return True
        fails, known.error, known.state = known.error is None, known.error or _unreadable(), None
        return fails

    def assign(self, partition: Partition, note: str) -> None:
        self._epochs[partition] = _Epochs(int(note or "0"))

    def note(self, partition: Partition, offset: int, /) -> str:
        epochs = self._epochs.get(partition)
        return str(epochs.before(offset)) if epochs else ""

    def caught_up(self, partitions: Collection[Partition], at_ms: int) -> None:
        for partition in partitions:
            self._read(partition, at_ms)

    def revoke(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            self._log_ms.pop(partition, None)
        for key in [key for key in self._open if key[0] in partitions]:
            self._open.pop(key).span.end()

    async def drain(self, seconds: float) -> None:
        if self._ending:
            await asyncio.wait(self._ending, timeout=seconds)
        for subject in self._open.values():
            subject.span.end()

    def _read(self, partition: Partition, at_ms: int) -> None:
        self._log_ms[partition] = max(at_ms, self._log_ms.get(partition, 0))

    def _begin(self, work: Work) -> _Subject:
        envelope = work.received.envelope
        span = self._spans.process(envelope, work.record)
        whom = work_context(work.topic.name, envelope)
        due_ms = envelope.deadline_ms + GRACE_MS if envelope.deadline_ms else _NEVER_MS
        return _Subject(work, whom, span, self._meter.now(), envelope.epoch, due_ms)

    def _emit(self, subject: _Subject, received: Received[Event], outgoing: Outgoing) -> None:
        assert subject.first is not None  # noqa: S101  # what could not be read is never folded
        cause, number = subject.first.received.envelope, received.partition.number
        subject.acks.add(self._outbox.emit(cause, outgoing, subject.emitted, subject.span, number))
        subject.emitted += 1

    def _fail(self, subject: _Subject, error: HandlerError, last: Work) -> None:
        """End a subject ourselves. It stays open, and is not committed, until the log ends it as well."""
        assert subject.first is not None  # noqa: S101  # what could not be read is never folded
        subject.error, subject.state = error, None
        if subject.due_ms == _NEVER_MS:
            subject.due_ms = last.record.timestamp_ms  # from which it is kept for a while
        cause = subject.first.received.envelope
        subject.failing = self._start(
            self._failures.fail(last.record, last.topic, cause, error, subject.span), subject.whom
        )

    def _end(self, key: tuple[Partition, str]) -> None:
        subject = self._open.pop(key)
        if subject.first is not None:
            self._start(self._settle(subject, subject.first), subject.whom)

    async def _settle(self, subject: _Subject, first: Work) -> None:
        """Wait until all that a subject caused is acknowledged; then its records may be committed."""
        with current(subject.span):
            if subject.failing is not None:
                await subject.failing
            try:
                await subject.acks.all()
            except RecordTooLarge as error:
                if subject.error is None:
                    subject.error = too_large(error)
                    cause = first.received.envelope
                    await self._failures.fail(first.record, first.topic, cause, subject.error, subject.span)
            self._meter.processed(first.topic.name, subject.began, subject.span, subject.error)
        first.done()

    def _start(self, work: Coroutine[Any, Any, None], whom: WorkContext) -> asyncio.Task[None]:
        with use_work_context(whom):
            task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error


def _unreadable() -> HandlerError:
    return PermanentError("invalid_event", "A record of the request was invalid.")

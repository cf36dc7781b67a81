"""Events folded into the state of their subject, in log order; committed when the subject has ended."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from opentelemetry.trace import Span

from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.reading import Fence
from penstock.streaming.attempts import DeadlineExceeded, fault
from penstock.streaming.errors import HandlerError
from penstock.streaming.ports import Partition
from penstock.streaming.processors import Means, Work
from penstock.streaming.stage import Fold, Outgoing, Received
from penstock.streaming.tracing import about
from penstock.telemetry import names
from penstock.telemetry.about import About, work_for, working_for
from penstock.telemetry.spans import current

GRACE_MS = 2_000  # past its deadline, for the stages before to say so themselves
_MAX_ENDING = 256
_MAX_RISES = 1_000


@dataclass(slots=True)
class _Subject:
    """One open subject: its state, the records it holds back, and the acknowledgements it waits for."""

    first: Envelope
    whom: About
    span: Span
    began: float
    epoch: int
    state: object = None
    works: list[Work] = field(default_factory=list)
    acks: list[asyncio.Future[int]] = field(default_factory=list)
    emitted: int = 0


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
    up to the committed offset is kept with the commit.
    """

    def __init__(self, processing: Fold[object], means: Means) -> None:
        self._handle = processing.handle
        self._outbox, self._failures, self._spans, self._clock_ms, self._meter = means
        self._open: dict[tuple[Partition, str], _Subject] = {}
        self._epochs: dict[Partition, _Epochs] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._broken: BaseException | None = None

    def submit(self, work: Work) -> None:
        received = work.received
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
        subject.works.append(work)
        with working_for(subject.whom):
            self._fold(key, subject, received)

    def _fold(self, key: tuple[Partition, str], subject: _Subject, received: Received[Event]) -> None:
        try:
            step = self._handle(subject.state, received)
        except HandlerError as error:
            self._end(key, error)
            return
        except Exception as error:  # noqa: BLE001  # the last line of defence: a fault must not stop the stage
            self._end(key, fault(error, received.envelope))
            return
        for outgoing in step.outgoing:
            self._emit(subject, outgoing)
        subject.state = step.state
        if step.state is None:
            self._end(key, None)

    @property
    def is_full(self) -> bool:
        return len(self._ending) > _MAX_ENDING

    def waiting(self, _topic: str) -> int:
        return 0  # what comes is folded at once

    def tick(self) -> None:
        if self._broken is not None:
            raise self._broken
        now = self._clock_ms()
        late = [
            k for k, s in self._open.items() if s.first.deadline_ms and s.first.deadline_ms + GRACE_MS < now
        ]
        for key in late:
            self._end(key, DeadlineExceeded())

    async def owning(self, _partition: Partition, cause: Envelope, /) -> Envelope | None:
        return cause

    def abandon(self, partition: Partition, subject: str) -> None:
        if (partition, subject) in self._open:
            self._end((partition, subject), None)

    def assign(self, partition: Partition, note: str) -> None:
        self._epochs[partition] = _Epochs(int(note or "0"))

    def note(self, partition: Partition, offset: int, /) -> str:
        epochs = self._epochs.get(partition)
        return str(epochs.before(offset)) if epochs else ""

    def revoke(self, partitions: Collection[Partition]) -> None:
        for key in [key for key in self._open if key[0] in partitions]:
            self._open.pop(key).span.end()

    async def drain(self, seconds: float) -> None:
        if self._ending:
            await asyncio.wait(self._ending, timeout=seconds)
        for subject in self._open.values():
            subject.span.end()

    def _begin(self, work: Work) -> _Subject:
        envelope = work.received.envelope
        span = self._spans.process(envelope, work.record)
        whom = about(work.topic.name, envelope)
        return _Subject(envelope, whom, span, self._meter.now(), envelope.epoch)

    def _emit(self, subject: _Subject, outgoing: Outgoing) -> None:
        ack = self._outbox.emit(subject.first, outgoing, subject.emitted, subject.span)
        subject.acks.append(ack)
        subject.emitted += 1

    def _end(self, key: tuple[Partition, str], error: HandlerError | None) -> None:
        task = asyncio.create_task(self._finish(self._open.pop(key), error))
        self._ending.add(task)
        task.add_done_callback(self._finished)

    async def _finish(self, subject: _Subject, error: HandlerError | None) -> None:
        work_for(subject.whom)
        with current(subject.span):
            if error is not None:
                last = subject.works[-1]
                await self._failures.fail(last.record, last.topic, subject.first, error, subject.span)
            await asyncio.gather(*subject.acks)
            self._meter.processed(subject.works[-1].topic.name, subject.began, subject.span, error)
        for work in subject.works:
            work.done()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error

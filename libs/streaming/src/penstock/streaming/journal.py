"""Events one by one, by the owner of their partition, who takes over what the journal already holds."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

import msgspec

from penstock.messages import ids
from penstock.messages.envelope import Envelope, derived_id
from penstock.messages.event import Event
from penstock.streaming.each import LOOKAHEAD_BYTES, EachProcessor, size_of
from penstock.streaming.ports import Partition
from penstock.streaming.processors import RunnerContext, Work
from penstock.streaming.stage import Each, Journaled, Outgoing, Received
from penstock.streaming.takeover import Claim, JournaledSubject, JournalPosition, Takeover, note_of

REMEMBER_MS = 30_000
"""For how long the next owner learns of a subject that has ended, so that its event is not handled again."""
REPEATED_MS = 600_000
"""For how long we know of it ourselves at most, if its deadline is not earlier; and a while longer."""
HANDOVER_SECONDS = 1.0
"""For how long a stop waits for what runs before it is handed over."""


_NOWHERE = JournalPosition(0, 0)


class _Turn(NamedTuple):
    """Tells one handling of a record from all others, also when its partition has left and returned."""

    partition: Partition
    offset: int
    epoch: int


@dataclass(slots=True)
class _Run:
    """One event that is handled, or waits for it; `begun` is the `traceparent` of what `earlier` has."""

    earlier: Sequence[Event]
    begun: str
    handover: asyncio.Event = field(default_factory=asyncio.Event)
    unfinished: bool = False


@dataclass(slots=True)
class _Owned:
    """One input partition of ours, `settled` when it is claimed, or lost.

    `lows`: where in the journal each subject that we know begins; `ended`: subjects that are over, and until
    when that is known. `early` waits to learn whether it was answered before what the claim has read.
    """

    note: str
    claim: Claim | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    held: list[Work] = field(default_factory=list)
    lows: dict[str, JournalPosition] = field(default_factory=dict)
    open: dict[str, JournaledSubject] = field(default_factory=dict)
    forget_ms: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    early: list[Work] = field(default_factory=list)
    known_since_ms: int = 0
    written: JournalPosition = _NOWHERE


class JournalProcessor(EachProcessor):
    """Runs a `Journaled` stage (port: Processor)."""

    def __init__(self, processing: Journaled, means: RunnerContext, takeover: Takeover) -> None:
        super().__init__(Each(self._handle_one, processing.concurrency), means)
        self._journal_handle = processing.handle
        self._wants_no_slot = processing.needs_no_slot
        self._takeover = takeover
        self._owned: dict[Partition, _Owned] = {}
        self._runs: dict[_Turn, _Run] = {}
        self._claiming: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    def assign(self, partition: Partition, note: str) -> None:
        self._owned[partition] = _Owned(note)

    def note(self, partition: Partition, _offset: int, /) -> str:
        owned = self._owned.get(partition)
        if owned is None or owned.claim is None:
            return owned.note if owned else ""
        low = min([*owned.lows.values()], default=owned.written)
        return note_of(owned.claim.marker.epoch, low)

    async def owning(self, partition: Partition, cause: Envelope, /) -> Envelope | None:
        owned = self._owned.get(partition)
        if owned is not None:
            await owned.settled.wait()
        if owned is None or owned.claim is None:
            return None
        return _under(owned.claim.marker.epoch, cause)

    @property
    def is_full(self) -> bool:
        held = sum(size_of(work) for owned in self._owned.values() for work in (*owned.held, *owned.early))
        return self._waiting_bytes + held > LOOKAHEAD_BYTES

    def waiting(self, topic: str) -> int:
        return super().waiting(topic) + sum(
            len(owned.held) + len(owned.early) for owned in list(self._owned.values())
        )

    def submit(self, work: Work) -> None:
        owned = self._owned[work.received.partition]
        if owned.claim is None:
            owned.held.append(work)
        else:
            self._take(owned, work)

    def tick(self) -> None:
        super().tick()
        unclaimed = {p: owned.note for p, owned in self._owned.items() if owned.claim is None}
        if unclaimed and self._claiming is None:
            self._claiming = asyncio.create_task(self._claim(unclaimed))
            self._claiming.add_done_callback(self._claimed)
        if self._looking is None and (early := next((p for p, o in self._owned.items() if o.early), None)):
            self._looking = asyncio.create_task(self._look_back(early, self._owned[early]))
            self._looking.add_done_callback(self._looked)
        now = self._clock_ms()
        for owned in self._owned.values():
            for subject in _due(owned.forget_ms, now):
                owned.lows.pop(subject, None)
            _due(owned.ended, now)

    def abandon(self, partition: Partition, subject: str, /) -> bool:
        owned = self._owned.get(partition)
        if owned is None or subject in owned.lows:
            return False  # it runs, or has ended, or the next owner meets the record
        owned.lows[subject] = owned.written
        owned.forget_ms[subject] = self._clock_ms() + REMEMBER_MS
        return True

    def revoke(self, partitions: Collection[Partition]) -> None:
        for work in self._waiting:
            if work.received.partition in partitions:
                self._runs.pop(_turn(work.received))
        super().revoke(partitions)
        for partition in partitions:
            if owned := self._owned.pop(partition, None):
                owned.settled.set()
        self._meter.gave_up(partition.number for partition in partitions)
        for turn, run in self._runs.items():
            if turn.partition in partitions:
                run.handover.set()

    async def drain(self, seconds: float) -> None:
        self._keep(())
        for task in (self._claiming, self._looking):
            if task is not None:
                task.cancel()
        for owned in self._owned.values():
            owned.settled.set()  # what waits for a claim is left to the next owner
        if self._running:
            await asyncio.wait(self._running, timeout=HANDOVER_SECONDS)
        for run in self._runs.values():
            run.handover.set()
        await super().drain(seconds)

    async def _claim(self, notes: dict[Partition, str]) -> None:
        owned_before = {partition: self._owned[partition] for partition in notes}
        for partition, claim in (await self._takeover.claim(notes)).items():
            owned = self._owned.get(partition)
            if owned is None or owned is not owned_before[partition]:
                continue  # taken away meanwhile, and perhaps given back: that is another ownership
            self._begin(owned, claim)
            going_on = sum(not written.ended for written in claim.subjects.values())
            self._meter.took_over(partition.number, claim.marker.epoch, going_on)

    async def _look_back(self, partition: Partition, owned: _Owned) -> None:
        """Learn which of the early questions were answered before what the claim has read."""
        assert owned.claim is not None  # noqa: S101  # nothing is taken before
        since_ms = min(_asked_ms(work) for work in owned.early)
        ended = await self._takeover.ended(partition, since_ms, owned.claim.start)
        until_ms = self._clock_ms() + REPEATED_MS
        owned.ended |= dict.fromkeys(ended, until_ms)
        owned.known_since_ms = since_ms
        early, owned.early = owned.early, []
        if self._owned.get(partition) is owned:
            for work in early:
                self._take(owned, work)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error

    def _begin(self, owned: _Owned, claim: Claim) -> None:
        owned.written = claim.marker
        owned.known_since_ms = claim.since_ms
        for subject, written in claim.subjects.items():
            owned.lows[subject] = written.low
            if written.ended:
                owned.forget_ms[subject] = self._clock_ms() + REMEMBER_MS
            else:
                owned.open[subject] = written
        owned.claim = claim
        owned.settled.set()
        held, owned.held = owned.held, []
        for work in held:
            self._take(owned, work)

    def _claimed(self, task: asyncio.Task[None]) -> None:
        self._claiming = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error

    def _take(self, owned: _Owned, work: Work) -> None:
        subject = work.received.envelope.subject
        written = owned.open.pop(subject, None)
        if written is None and (subject in owned.lows or subject in owned.ended):
            work.done()  # a repetition: the first one runs, or has ended
            return
        if written is None and _asked_ms(work) < owned.known_since_ms:
            owned.early.append(work)
            return
        owned.lows.setdefault(subject, owned.written)
        assert owned.claim is not None  # noqa: S101  # nothing is taken before
        envelope = _under(owned.claim.marker.epoch, work.received.envelope)
        received = Received(work.received.event, envelope, work.received.partition, work.received.offset)
        run = _Run(written.events(), written.traceparent) if written else _Run((), "")
        self._runs[_turn(received)] = run
        super().submit(
            work._replace(received=received, done=lambda: self._settle(owned, received, work.done))
        )

    async def _handle_one(self, received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        run = self._runs[_turn(received)]
        ended = False
        async with aclosing(self._journal_handle(received, run.earlier, run.handover)) as outgoing:
            async for item in outgoing:
                ended = item.event.TERMINAL
                yield item
        run.unfinished = not ended

    def _begun(self, work: Work) -> str:
        return self._runs[_turn(work.received)].begun

    def _settle(self, owned: _Owned, received: Received[Event], done: Callable[[], None]) -> None:
        """All that a run wrote is acknowledged: it is done, unless somebody else goes on with it."""
        if self._runs.pop(_turn(received)).unfinished:
            return
        now, envelope = self._clock_ms(), received.envelope
        owned.forget_ms[envelope.subject] = now + REMEMBER_MS
        due_ms = envelope.deadline_ms or now + REPEATED_MS
        owned.ended[envelope.subject] = max(now, min(now + REPEATED_MS, due_ms)) + REMEMBER_MS
        done()

    def _needs_no_slot(self, work: Work) -> bool:
        return super()._needs_no_slot(work) or self._wants_no_slot(work.received)

    def _acknowledged(self, work: Work, offset: int) -> None:
        owned = self._owned.get(work.received.partition)
        if owned is not None and owned.claim is not None:
            owned.written = max(owned.written, JournalPosition(offset, owned.claim.marker.epoch))


def _due(until_ms: dict[str, int], now_ms: int) -> list[str]:
    """Take out and return the subjects whose time is over; one behind a later one stays a while."""
    due = list(takewhile(lambda subject: until_ms[subject] < now_ms, until_ms))
    for subject in due:
        del until_ms[subject]
    return due


def _asked_ms(work: Work) -> int:
    """Return when a request was made (Unix ms), by its id; of another subject the latest possible time."""
    try:
        return ids.created_ms(work.received.envelope.subject)
    except ValueError:
        return work.received.envelope.time_ms


def _turn(received: Received[Event]) -> _Turn:
    return _Turn(received.partition, received.offset, received.envelope.epoch)


def _under(epoch: int, cause: Envelope) -> Envelope:
    """Return the cause of what an owner writes: ids differ from those of the owner before."""
    return msgspec.structs.replace(cause, id=derived_id(cause.id, "epoch", epoch), epoch=epoch)

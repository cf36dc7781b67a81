"""Taking over partitions of a journal: fence off the owner before us, and learn what it has written.

A journal is a topic to which the owner of an input partition writes, at the same partition number. The new
owner writes a marker with the next epoch, and reads the journal up to it. The first marker of an epoch
counts: an owner that comes second, or finds a higher epoch, lost a race, and tries again.

A process that was stopped for a while and does not know that it was replaced must never fence off its
successor. So before each marker the consumer group confirms that the partition is still ours; and the first
epoch comes from the note of the last commit, not from the journal. If we are stopped after the group has
confirmed, our successor has the note that we have or a later one, and with it our epoch or a higher one.
e2e/simulation/spec/takeover.pml has been checked for all of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import compress
from typing import NamedTuple
from uuid import uuid4

import structlog

from penstock.messages import codec
from penstock.messages.chat import EpochStarted
from penstock.messages.envelope import Envelope, to_headers
from penstock.messages.event import Event, InvalidEvent
from penstock.messages.reading import Fence
from penstock.messages.topics import Topic
from penstock.streaming import records
from penstock.streaming.ports import Partition, Producer, Reader, Record, Since, Start

POLL_SECONDS = 0.5
log = structlog.get_logger()


class JournalPosition(NamedTuple):
    """An offset of a journal, and the epoch in force there."""

    offset: int
    epoch: int


@dataclass(slots=True)
class JournaledSubject:
    """What the journal holds of one subject: where that begins, its events, and whether it has ended.

    `traceparent` is the last that one of them carries.
    """

    low: JournalPosition
    bodies: list[tuple[str, bytes | None]] = field(default_factory=list)
    ended: bool = False
    traceparent: str = ""

    def events(self) -> list[Event]:
        """Return the events in order; a record that is none was ignored by all readers, too."""
        events = []
        for event_type, body in self.bodies:
            try:
                events.append(codec.decode(event_type, body))
            except InvalidEvent:
                continue
        return events


@dataclass(slots=True)
class Claim:
    """A partition that is ours: where our marker stands, and what was written before it, by subject.

    That is what the journal holds from `start` on, written since `since_ms` (Unix ms).
    """

    marker: JournalPosition
    subjects: dict[str, JournaledSubject]
    start: int = 0
    since_ms: int = 0


class Takeover:
    """Claims partitions of one journal for one process; `confirm` asks the group about an input partition."""

    def __init__(
        self,
        journal: Topic,
        instance: str,
        reader: Reader,
        producer: Producer,
        confirm: Callable[[Partition], Awaitable[bool]],
        clock_ms: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._instance = instance
        self._reader = reader
        self._producer = producer
        self._confirm = confirm
        self._clock_ms = clock_ms
        self._reading = asyncio.Lock()

    async def claim(self, notes: Mapping[Partition, str]) -> dict[Partition, Claim]:
        """Claim the journal partitions that belong to these input partitions, each with its committed note.

        Those that are no longer ours are missing in the result. Raises BrokerError.
        """
        async with self._reading:
            return await self._claim(notes)

    async def ended(self, source: Partition, since_ms: int, before: int) -> set[str]:
        """Return the subjects whose end the journal holds, since a time (Unix ms) and before an offset.

        Raises BrokerError.
        """
        at, book = self._at(source), _Book(0)
        async with self._reading:
            await self._reader.read({at: Since(since_ms)})
            while self._reader.position(at) < before:
                for record in await self._reader.poll(POLL_SECONDS):
                    if record.offset < before:
                        book.enter(record)
            await self._reader.leave([at])
        return {subject for subject, written in book.subjects.items() if written.ended}

    async def _claim(self, notes: Mapping[Partition, str]) -> dict[Partition, Claim]:
        lows = {source: _low(note) for source, note in notes.items()}
        books = {source: _Book(low.epoch if low else 0) for source, low in lows.items()}
        starts: dict[Partition, Start] = {
            self._at(source): low.offset if low else "beginning" for source, low in lows.items()
        }
        await self._reader.read(starts)
        ours = await asyncio.gather(*(self._confirm(source) for source in books))
        claims: dict[Partition, Claim] = {}
        waiting = dict(compress(books.items(), ours))
        while waiting:
            written = await asyncio.gather(
                *(
                    self._mark(source, max(book.fence.epoch, _epoch(notes[source])) + 1)
                    for source, book in waiting.items()
                )
            )
            markers = dict(zip(waiting, written, strict=True))
            await self._read_past({self._at(s): place.offset for s, (_, place) in markers.items()}, books)
            for source, (marker, place) in markers.items():
                book = waiting.pop(source)
                if book.fence.epoch == place.epoch and book.marker == marker:
                    low = lows[source]
                    claims[source] = Claim(
                        place, book.subjects, low.offset if low else 0, book.since_ms if low else 0
                    )
                elif await self._confirm(source):
                    waiting[source] = book
        await self._reader.leave([self._at(source) for source in books])
        for source, claim in claims.items():
            self._tell(source, claim)
        return claims

    def _at(self, source: Partition) -> Partition:
        return Partition(self._journal.name, source.number)

    async def _mark(self, source: Partition, epoch: int) -> tuple[str, JournalPosition]:
        at = self._at(source)
        envelope = Envelope(
            id=uuid4().hex,
            type=EpochStarted.TYPE,
            source=f"/penstock/{self._instance}",
            time_ms=self._clock_ms(),
            subject=f"{at.topic}/{at.number}",
            tenant="penstock",
            epoch=epoch,
        )
        body = codec.encode(EpochStarted(instance=self._instance))
        key = envelope.subject.encode()
        offset = await self._producer.send(at.topic, key, body, to_headers(envelope), at.number)
        return envelope.id, JournalPosition(offset, epoch)

    async def _read_past(self, targets: Mapping[Partition, int], books: Mapping[Partition, "_Book"]) -> None:
        by_number = {source.number: book for source, book in books.items()}
        while any(self._reader.position(at) <= offset for at, offset in targets.items()):
            for record in await self._reader.poll(POLL_SECONDS):
                by_number[record.partition.number].enter(record)

    def _tell(self, source: Partition, claim: Claim) -> None:
        log.info(
            "partition_taken_over",
            topic=self._journal.name,
            partition=source.number,
            epoch=claim.marker.epoch,
            open=sum(not written.ended for written in claim.subjects.values()),
        )


class _Book:
    """What one partition of the journal says, read in order."""

    def __init__(self, epoch: int) -> None:
        self.fence = Fence(epoch)
        self.marker = ""
        self.subjects: dict[str, JournaledSubject] = {}
        self.since_ms = 0

    def enter(self, record: Record) -> None:
        self.since_ms = self.since_ms or record.timestamp_ms
        envelope = records.envelope_of(record)
        if envelope is None:
            return
        known = self.fence.epoch
        if not self.fence.admits(envelope.epoch):
            return
        if envelope.type == EpochStarted.TYPE:
            if envelope.epoch > known:
                self.marker = envelope.id
            return
        kind = codec.event_types().get(envelope.type)
        written = self.subjects.setdefault(
            envelope.subject, JournaledSubject(JournalPosition(record.offset, envelope.epoch))
        )
        if kind is None or written.ended:
            return
        if kind.TERMINAL:
            written.ended = True
            written.bodies.clear()
        else:
            written.bodies.append((envelope.type, record.value))
            written.traceparent = envelope.traceparent or written.traceparent


def note_of(epoch: int, low: JournalPosition) -> str:
    """Return what an owner keeps with its commits: its epoch, and from where the journal is still needed."""
    return f"{epoch} {low.offset} {low.epoch}"


def _epoch(note: str) -> int:
    return int(note.split()[0]) if note else 0


def _low(note: str) -> JournalPosition | None:
    return JournalPosition(*map(int, note.split()[1:])) if note else None

"""What a takeover learns from the journal, record by record: in memory, and the test writes the journal."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from penstock.messages import codec
from penstock.messages.chat import (
    EpochStarted,
    GenerationFinished,
    GenerationStarted,
    RequestFailed,
    TextGenerated,
    Usage,
)
from penstock.messages.envelope import Envelope, Headers, to_headers
from penstock.messages.event import Event
from penstock.messages.topics import Topic
from penstock.streaming.adapters.memory import MemoryBroker, MemoryProducer
from penstock.streaming.ports import Partition, Producer, Reader, Record, Start
from penstock.streaming.takeover import Claim, JournalPosition, Takeover, note_of

JOURNAL = Topic(
    "journal", 2, (EpochStarted, GenerationStarted, TextGenerated, GenerationFinished, RequestFailed)
)
SOURCE, AT = Partition("questions", 0), Partition(JOURNAL.name, 0)
STARTED = GenerationStarted(model="m", passages=())
FINISHED = GenerationFinished(
    length=2, finish_reason="stop", usage=Usage(prompt_tokens=1, completion_tokens=1)
)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FROM_A_LATER_RELEASE = "penstock.generation.added.v1"


def text(start: int, piece: str) -> TextGenerated:
    return TextGenerated(start=start, text=piece)


async def ours(_: Partition) -> bool:
    return True


class Journal:
    """A journal in memory; each record is a second later than the one before it."""

    def __init__(self) -> None:
        self.now_ms = 1_000
        self.broker = MemoryBroker([JOURNAL], self._clock_ms)

    def write(self, epoch: int, event: Event, subject: str = "r1", traceparent: str = "") -> int:
        """Write an event of an owner, and return its offset."""
        envelope = _envelope(epoch, event.TYPE, subject, traceparent)
        return self.append(codec.encode(event), to_headers(envelope))

    def mark(self, epoch: int, marker: str = "of another owner") -> int:
        """Write the marker with which an owner begins."""
        envelope = _envelope(epoch, EpochStarted.TYPE, "journal/0")
        headers = [*to_headers(envelope), ("ce_id", marker.encode())]
        return self.append(codec.encode(EpochStarted(instance="b")), headers)

    def append(self, body: bytes, headers: Headers) -> int:
        return self.broker.append(JOURNAL.name, b"r1", body, headers, 0)

    def takeover(
        self,
        confirm: Callable[[Partition], Awaitable[bool]] = ours,
        reader: Reader | None = None,
        producer: Producer | None = None,
    ) -> Takeover:
        reader, producer = reader or self.broker.reader(), producer or self.broker.producer()
        return Takeover(JOURNAL, "a", reader, producer, confirm, self._clock_ms)

    async def claim(self, note: str = "", takeover: Takeover | None = None) -> Claim:
        """Claim the partition with the note of the last commit."""
        async with asyncio.timeout(5):
            return (await (takeover or self.takeover()).claim({SOURCE: note}))[SOURCE]

    def _clock_ms(self) -> int:
        self.now_ms += 1_000
        return self.now_ms


def _envelope(epoch: int, kind: str, subject: str, traceparent: str = "") -> Envelope:
    return Envelope(
        id=f"{kind}-{epoch}-{subject}",
        type=kind,
        source="/test",
        time_ms=0,
        subject=subject,
        tenant="acme",
        epoch=epoch,
        traceparent=traceparent,
    )


@pytest.fixture
def journal() -> Journal:
    return Journal()


async def test_the_first_owner_of_all_begins_epoch_1_and_reads_from_the_beginning(journal: Journal) -> None:
    claim = await journal.claim()
    assert claim == Claim(JournalPosition(0, 1), {})
    [marker] = journal.broker.log(JOURNAL.name)
    assert codec.decode(EpochStarted.TYPE, marker.value) == EpochStarted(instance="a")


@pytest.mark.parametrize("epoch", [1, 2, 1_000])
async def test_the_next_owner_begins_the_next_epoch(journal: Journal, epoch: int) -> None:
    last = JournalPosition(journal.mark(epoch), epoch)
    assert (await journal.claim(note_of(epoch, last))).marker == JournalPosition(1, epoch + 1)


@pytest.mark.parametrize("epoch", [1, 2, 1_000])
async def test_an_owner_that_committed_nothing_is_found_in_the_journal(journal: Journal, epoch: int) -> None:
    journal.mark(epoch)
    claim = await journal.claim()  # its first marker, of epoch 1, does not count
    assert claim.marker == JournalPosition(2, epoch + 1)


async def test_the_note_of_the_last_commit_says_the_epoch_and_from_where_to_read(journal: Journal) -> None:
    """The last owner has epoch 5 and has written nothing; what it still needs begins in epoch 3, at 4."""
    journal.mark(3)
    for number in range(3):
        journal.write(3, text(0, "not needed"), f"done-{number}")
    low = JournalPosition(journal.write(3, text(0, "needed")), 3)
    written_ms = journal.now_ms
    claim = await journal.claim(note_of(5, low))
    assert claim.marker == JournalPosition(5, 6)
    assert list(claim.subjects) == ["r1"]
    assert (claim.start, claim.since_ms) == (4, written_ms)


async def test_what_a_replaced_owner_wrote_before_the_place_in_the_note_is_told_by_the_notes_epoch(
    journal: Journal,
) -> None:
    """The marker that replaced it lies before that place, and is not read again."""
    journal.mark(1)
    low = JournalPosition(journal.mark(2) + 1, 2)
    journal.write(1, text(0, "of the replaced one"), "stale")
    journal.write(2, text(0, "of its successor"))
    assert list((await journal.claim(note_of(2, low))).subjects) == ["r1"]


async def test_what_was_begun_is_known_with_all_its_events(journal: Journal) -> None:
    journal.mark(1)
    low = JournalPosition(journal.write(1, STARTED, traceparent=TRACE), 1)
    journal.write(1, text(0, "ab"))
    journal.append(b"{", to_headers(_envelope(1, TextGenerated.TYPE, "r1")))  # all readers ignore it, too
    journal.append(b"no envelope", [])
    journal.write(1, text(2, "cd"))
    written = (await journal.claim()).subjects["r1"]
    assert written.events() == [STARTED, text(0, "ab"), text(2, "cd")]
    assert (written.low, written.ended, written.traceparent) == (low, False, TRACE)


async def test_of_what_has_ended_only_the_end_is_known(journal: Journal) -> None:
    journal.mark(1)
    journal.write(1, text(0, "ab"))
    journal.write(1, FINISHED)
    journal.write(1, text(0, "ab"))  # repeated
    written = (await journal.claim()).subjects["r1"]
    assert written.ended
    assert written.events() == []


async def test_an_event_of_a_later_release_is_passed_over(journal: Journal) -> None:
    """It begins no epoch, and does not stand among the events; but the request is known from it on."""
    journal.mark(1)
    low = JournalPosition(journal.append(b"{}", to_headers(_envelope(1, FROM_A_LATER_RELEASE, "r1"))), 1)
    journal.write(1, text(0, "ab"))
    written = (await journal.claim()).subjects["r1"]
    assert (written.low, written.events()) == (low, [text(0, "ab")])


async def test_what_a_replaced_owner_writes_late_does_not_count(journal: Journal) -> None:
    for epoch in (1, 2):
        journal.mark(epoch)
    journal.write(1, text(0, "late"))
    journal.write(2, text(0, "ab"))
    journal.write(1, FINISHED)
    written = (await journal.claim()).subjects["r1"]
    assert (written.events(), written.ended) == ([text(0, "ab")], False)


@pytest.mark.parametrize("epoch", [1, 1_000])
@pytest.mark.parametrize("marker", ["0" * 32, "f" * 32])
async def test_of_two_markers_of_one_epoch_the_first_counts(
    journal: Journal, epoch: int, marker: str
) -> None:
    """Both owners had asked the group before either wrote."""
    last = journal.mark(epoch - 1) if epoch > 1 else None
    asked = 0

    async def confirm(_: Partition) -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            journal.mark(epoch, marker)
        return True

    note = "" if last is None else note_of(epoch - 1, JournalPosition(last, epoch - 1))
    claim = await journal.claim(note, journal.takeover(confirm))
    assert claim.marker.epoch == epoch + 1
    assert asked == 2


async def test_who_comes_second_and_has_lost_the_partition_gives_up(journal: Journal) -> None:
    asked = 0

    async def confirm(_: Partition) -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            journal.mark(1)
        return asked == 1

    async with asyncio.timeout(5):
        assert await journal.takeover(confirm).claim({SOURCE: ""}) == {}


async def test_a_record_of_a_higher_epoch_fences_an_owner_off_even_if_it_is_no_marker(
    journal: Journal,
) -> None:
    """Readers go by the epoch alone: after it they would ignore whatever this owner writes."""

    class Interrupted(MemoryProducer):
        def send(self, *record: Any) -> asyncio.Future[int]:
            written = super().send(*record)
            if len(journal.broker.log(JOURNAL.name)) == 1:
                journal.write(6, text(0, "ab"))
            return written

    claim = await journal.claim(takeover=journal.takeover(producer=Interrupted(journal.broker)))
    assert claim.marker == JournalPosition(2, 7)


async def test_partitions_are_claimed_each_by_itself(journal: Journal) -> None:
    journal.mark(4)
    journal.write(4, text(0, "ab"))
    other, gone = Partition(SOURCE.topic, 1), Partition(SOURCE.topic, 0)

    async def confirm(partition: Partition) -> bool:
        return partition != gone

    async with asyncio.timeout(5):
        claims = await journal.takeover(confirm).claim({gone: "", other: ""})
    assert claims == {other: Claim(JournalPosition(0, 1), {})}
    assert (await journal.claim()).marker == JournalPosition(3, 5)


async def test_the_log_says_how_many_answers_an_owner_goes_on_with(journal: Journal) -> None:
    journal.mark(1)
    for subject in ("r1", "r2", "r3"):
        journal.write(1, text(0, "ab"), subject)
    journal.write(1, FINISHED, "r2")
    with capture_logs() as logs:
        await journal.claim()
    [told] = [one for one in logs if one["event"] == "partition_taken_over"]
    assert (told["topic"], told["partition"], told["epoch"], told["open"]) == (JOURNAL.name, 0, 2, 2)


async def test_the_ends_between_a_time_and_an_offset_are_found(journal: Journal) -> None:
    journal.mark(1)
    journal.write(1, FINISHED, "too early")
    since_ms = journal.now_ms + 1
    for subject in ("r1", "r2", "r3"):
        journal.write(1, text(0, "ab"), subject)
    journal.write(1, FINISHED, "r1")
    journal.write(1, RequestFailed(code="c", message="m", status=500, stage="s"), "r2")
    before = journal.write(1, FINISHED, "too late")
    journal.write(1, FINISHED, "r3")
    takeover = journal.takeover()
    async with asyncio.timeout(5):
        assert await takeover.ended(SOURCE, since_ms, before) == {"r1", "r2"}
        assert await takeover.ended(SOURCE, journal.now_ms + 1, 0) == set()


async def test_ends_are_found_up_to_the_end_of_the_journal(journal: Journal) -> None:
    """What was written before there were epochs counts as well."""
    journal.write(0, FINISHED)
    async with asyncio.timeout(5):
        assert await journal.takeover().ended(SOURCE, 0, 1) == {"r1"}


async def test_who_waits_for_the_journal_leaves_the_processor_to_others(journal: Journal) -> None:
    class Counting:
        """Port: Reader. Counts how often it is asked."""

        def __init__(self, inner: Any) -> None:
            self.polls = 0
            self._inner = inner

        async def poll(self, wait: float) -> Sequence[Record]:
            self.polls += 1
            polled: Sequence[Record] = await self._inner.poll(wait)
            return polled

        async def read(self, starts: Mapping[Partition, Start]) -> None:
            await self._inner.read(starts)

        async def leave(self, partitions: Collection[Partition]) -> None:
            await self._inner.leave(partitions)

        def position(self, partition: Partition) -> int:
            position: int = self._inner.position(partition)
            return position

        async def close(self) -> None:
            await self._inner.close()

    reader = Counting(journal.broker.reader())
    waiting = asyncio.create_task(journal.takeover(reader=reader).ended(SOURCE, 0, 1))
    await asyncio.sleep(0.2)
    journal.write(1, FINISHED)
    await journal.broker.notify()
    async with asyncio.timeout(5):
        assert await waiting == {"r1"}
    assert reader.polls < 20

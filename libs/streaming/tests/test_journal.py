"""Taking over where another process stopped: tried in memory and on real Kafka."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from penstock.messages import codec
from penstock.messages.chat import (
    ChatRequested,
    EpochStarted,
    GenerationFinished,
    GenerationStarted,
    Message,
    RequestFailed,
    Sampling,
    TextGenerated,
    Usage,
)
from penstock.messages.envelope import Envelope, to_headers
from penstock.messages.event import Event
from penstock.messages.ids import new_request_id
from penstock.messages.reading import Fence, Splice
from penstock.messages.topics import Topic
from penstock.streaming import journal, records, runner
from penstock.streaming.clock import unix_ms
from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import BrokerError, Consumer, Partition, Producer, Reader
from penstock.streaming.runner import Runner
from penstock.streaming.share import Share
from penstock.streaming.stage import Journaled, Outgoing, Received, Stage
from penstock.streaming.takeover import Takeover

WORDS = [f"w{number} " for number in range(8)]
SOURCE = Partition("unused", 0)


def envelope(subject: str, event: type[Event] = ChatRequested, epoch: int = 0) -> Envelope:
    return Envelope(
        id=f"id-{subject}",
        type=event.TYPE,
        source="/test",
        time_ms=unix_ms(),
        subject=subject,
        tenant="acme",
        epoch=epoch,
    )


class Writer:
    """A handler that writes WORDS one by one, and stops before word `until` for ever (as if it were slow)."""

    def __init__(self, journal: Topic, until: int = len(WORDS)) -> None:
        self.until = until
        self.calls: list[tuple[str, int]] = []
        self._journal = journal

    async def handle(
        self, received: Received[Event], earlier: Sequence[Event], handover: asyncio.Event
    ) -> AsyncGenerator[Outgoing, None]:
        splice = Splice()
        known = "".join(splice.add(e.start, e.text) for e in earlier if isinstance(e, TextGenerated))
        self.calls.append((received.envelope.subject, len(known)))
        if not earlier:
            yield Outgoing(self._journal, GenerationStarted(model="m", passages=()))
        words = len(known.split())
        for word in WORDS[words : self.until]:
            yield Outgoing(self._journal, TextGenerated(start=splice.length, text=word))
            splice.add(splice.length, word)
        if self.until < len(WORDS):
            await handover.wait()
            return
        usage = Usage(prompt_tokens=1, completion_tokens=len(WORDS))
        yield Outgoing(
            self._journal, GenerationFinished(length=splice.length, finish_reason="stop", usage=usage)
        )


@dataclass
class Line:
    """One stage that answers `source` in `journal`."""

    broker: Any
    source: Topic
    journal: Topic
    group: str
    producer: Producer
    reader: Reader
    seen: list[Received[Event]] = field(default_factory=list)
    consumers: list[Consumer] = field(default_factory=list)
    slots: int = 16
    at_once: set[str] = field(default_factory=set)
    shares: list[Share] = field(default_factory=list)

    async def ask(self, subject: str, number: int | None = None) -> None:
        question = ChatRequested(
            model="m", messages=(Message(role="user", content="?"),), sampling=Sampling()
        )
        await records.send(self.producer, self.source, envelope(subject), question, number)

    @asynccontextmanager
    async def running(self, writer: Writer, instance: str = "a") -> AsyncIterator["asyncio.Task[None]"]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.start(writer, instance, stop))
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait([task], timeout=15)
            if not task.cancelled():
                task.result()

    async def start(self, writer: Writer, instance: str, stop: asyncio.Event) -> None:
        offsets = Offsets()
        consumer = await self.broker.consumer(self.group, [self.source], offsets.committable)
        self.consumers.append(consumer)
        processing = Journaled(
            writer.handle,
            lambda: self.slots,
            self.journal,
            lambda received: received.envelope.subject in self.at_once,
            self.shares.append,
        )
        stage = Stage(self.group, (self.source,), processing, self.journal)
        journal = await self.broker.reader([], "end")
        stage_runner = Runner(stage, consumer, self.producer, offsets, journal=journal, instance=instance)
        await stage_runner.run(stop)

    async def until(self, condition: Callable[[list[Received[Event]]], bool]) -> list[Received[Event]]:
        async with asyncio.timeout(25):
            while not condition(self.seen):
                for record in await self.reader.poll(0.1):
                    self.seen.append(records.decode(record, self.journal))
        return self.seen

    def text(self, subject: str) -> str:
        """The answer as every reader sees it."""
        fence, splice, text = Fence(), Splice(), ""
        for received in self.seen:
            if not fence.admits(received.envelope.epoch) or received.envelope.subject != subject:
                continue
            if isinstance(received.event, TextGenerated):
                text += splice.add(received.event.start, received.event.text)
        return text


def finished(subject: str) -> Callable[[list[Received[Event]]], bool]:
    return lambda seen: any(r.event.TERMINAL and r.envelope.subject == subject for r in seen)


def has_words(subject: str, count: int) -> Callable[[list[Received[Event]]], bool]:
    return lambda seen: (
        sum(isinstance(r.event, TextGenerated) and r.envelope.subject == subject for r in seen) >= count
    )


@pytest.fixture
async def line(broker: Any, unique: Callable[[str], str]) -> Line:
    source = Topic(unique("questions"), 2, (ChatRequested, RequestFailed))
    events = (EpochStarted, GenerationStarted, TextGenerated, GenerationFinished, RequestFailed)
    journal = Topic(unique("journal"), 2, events)
    await broker.make_topics([source, journal])
    reader = await broker.reader([Partition(journal.name, n) for n in range(2)], "beginning")
    return Line(broker, source, journal, unique("group"), await broker.producer(), reader)


async def test_an_owner_marks_its_epoch_before_it_writes(line: Line) -> None:
    writer = Writer(line.journal)
    async with line.running(writer):
        await line.ask("r1")
        seen = await line.until(finished("r1"))
    assert seen[0].event == EpochStarted(instance="a")
    assert {received.envelope.epoch for received in seen} == {1}
    assert len({received.envelope.id for received in seen}) == len(seen)
    assert line.text("r1") == "".join(WORDS)


async def test_another_process_goes_on_where_a_killed_one_stopped(line: Line) -> None:
    first = Writer(line.journal, until=3)
    async with line.running(first) as task:
        await line.ask("r1")
        await line.until(has_words("r1", 3))
        task.cancel()  # no drain, no commit
    second = Writer(line.journal)
    async with line.running(second, "b"):
        await line.until(finished("r1"))
    assert second.calls == [("r1", len("".join(WORDS[:3])))]
    assert line.text("r1") == "".join(WORDS)
    assert sum(isinstance(r.event, GenerationStarted) for r in line.seen) == 1


async def test_a_planned_stop_hands_over_what_runs(line: Line) -> None:
    async with line.running(Writer(line.journal, until=5)):
        await line.ask("r1")
        await line.until(has_words("r1", 5))
    assert not finished("r1")(line.seen)
    async with line.running(Writer(line.journal), "b"):
        await line.until(finished("r1"))
    assert line.text("r1") == "".join(WORDS)


async def test_what_has_ended_is_not_answered_again(line: Line) -> None:
    slow, quick = Writer(line.journal, until=2), Writer(line.journal)
    async with line.running(slow) as task:
        await line.ask("slow")  # holds the committed offset back
        await line.until(has_words("slow", 2))
        slow.until = len(WORDS)
        await line.ask("done")
        await line.until(finished("done"))
        await line.ask("done")  # the same request once more
        task.cancel()
    async with line.running(quick, "b"):
        await line.until(finished("slow"))
        await line.ask("done")
        await line.ask("last")
        await line.until(finished("last"))
    assert [subject for subject, _ in slow.calls] == ["slow", "done"]
    assert [subject for subject, _ in quick.calls] == ["slow", "last"]


async def test_what_has_ended_long_ago_is_not_answered_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage before us that was away for long sends again what it had not committed."""
    monkeypatch.setattr(journal, "REMEMBER_MS", 0)
    long_ago = unix_ms() - 60_000
    done, never = (new_request_id(0, long_ago) for _ in range(2))
    writer, next_owner = Writer(line.journal), Writer(line.journal)
    async with line.running(writer) as task:
        await line.ask(done)
        await line.until(finished(done))
        await line.ask("between")
        await line.until(finished("between"))
        await asyncio.sleep(0.5)  # it is forgotten for the next owner, and that is committed
        await line.ask(done)
        await line.ask("after")
        await line.until(finished("after"))
        await asyncio.sleep(1)
        task.cancel()
    assert [subject for subject, _ in writer.calls] == [done, "between", "after"]
    async with line.running(next_owner, "b"):
        await line.ask(done)
        await line.ask(never)
        await line.until(finished(never))
    assert [subject for subject, _ in next_owner.calls] == [never]


async def test_what_a_replaced_owner_still_writes_does_not_count(line: Line) -> None:
    async with line.running(Writer(line.journal, until=3)) as task:
        await line.ask("r1")
        await line.until(has_words("r1", 3))
        task.cancel()
    async with line.running(Writer(line.journal, until=5), "b"):
        await line.until(has_words("r1", 5))
        for start, text in ((9, "zombie "), (0, "no")):
            late = TextGenerated(start=start, text=text)
            headers = to_headers(envelope("r1", TextGenerated, epoch=1))
            await line.producer.send(line.journal.name, b"r1", codec.encode(late), headers, 0)
    async with line.running(Writer(line.journal), "c"):
        await line.until(finished("r1"))
    assert line.text("r1") == "".join(WORDS)


class Rivals:
    """Two takeovers of one partition; `owner` is the one that the group confirms."""

    def __init__(self, line: Line, readers: Sequence[Reader]) -> None:
        self.owner = 0
        self.takeovers = [
            Takeover(line.journal, name, reader, line.producer, self._confirm(number), unix_ms)
            for number, (name, reader) in enumerate(zip("ab", readers, strict=True))
        ]

    def _confirm(self, number: int) -> Any:
        async def confirm(_: Partition) -> bool:
            return self.owner == number

        return confirm


async def test_of_two_that_take_over_only_the_owner_gets_it(line: Line) -> None:
    rivals = Rivals(line, [await line.broker.reader([], "end") for _ in range(2)])
    first, second = rivals.takeovers
    claims = await asyncio.gather(first.claim({SOURCE: ""}), second.claim({SOURCE: ""}))
    assert SOURCE in claims[0]
    # The second may have come first in the log; then the first, confirmed, has fenced it off.
    last = claims[0][SOURCE].marker.offset
    await line.until(lambda seen: any(r.partition.number == 0 and r.offset >= last for r in seen))
    fence = Fence()
    for received in line.seen:
        fence.admits(received.envelope.epoch)
    assert claims[0][SOURCE].marker.epoch == fence.epoch or SOURCE not in claims[1]


async def test_a_process_that_was_replaced_while_it_slept_gives_up(line: Line) -> None:
    rivals = Rivals(line, [await line.broker.reader([], "end") for _ in range(2)])
    rivals.owner = 1
    claim = (await rivals.takeovers[1].claim({SOURCE: ""}))[SOURCE]
    assert claim.marker.epoch == 1
    assert await rivals.takeovers[0].claim({SOURCE: ""}) == {}  # it woke up and knows nothing
    rivals.owner = 0  # now the group has given it back
    claim = (await rivals.takeovers[0].claim({SOURCE: "1 0 1"}))[SOURCE]
    assert claim.marker.epoch == 2


async def test_a_process_that_read_its_successors_note_gives_up(line: Line) -> None:
    """It slept after it was given the partition, and before it asked for the note of the last commit."""
    rivals = Rivals(line, [await line.broker.reader([], "end") for _ in range(2)])
    rivals.owner = 1
    await rivals.takeovers[1].claim({SOURCE: ""})
    assert await rivals.takeovers[0].claim({SOURCE: "1 0 1"}) == {}
    rivals.owner = 0
    claim = (await rivals.takeovers[0].claim({SOURCE: "1 0 1"}))[SOURCE]
    assert claim.marker.epoch == 2, "the sleeper has written no marker"


async def test_a_broker_that_fails_amid_a_takeover_is_told(line: Line) -> None:
    class Failing:
        async def read(self, _starts: object) -> None:
            raise BrokerError("gone")

    takeover = Takeover(line.journal, "a", Failing(), line.producer, None, unix_ms)  # type: ignore[arg-type]
    with pytest.raises(BrokerError):
        await takeover.claim({SOURCE: ""})


async def test_a_request_with_an_invalid_record_fails_under_the_owners_epoch(line: Line) -> None:
    async with line.running(Writer(line.journal)):
        headers = to_headers(envelope("bad"))
        await line.producer.send(line.source.name, b"bad", b"{", headers, 0)
        seen = await line.until(finished("bad"))
    assert isinstance(seen[-1].event, RequestFailed)
    # Without the epoch of the marker before it, no reader would count the failure.
    assert {received.envelope.epoch for received in seen} == {1}


async def test_a_stop_before_the_partition_is_claimed_does_not_hang(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def never(_takeover: Takeover, _notes: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Takeover, "claim", never)
    async with line.running(Writer(line.journal)):
        await line.producer.send(line.source.name, b"bad", b"{", to_headers(envelope("bad")), 0)
        await asyncio.wait_for(begun.wait(), 15)


async def test_a_process_that_was_frozen_and_replaced_ends(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_JOIN_SECONDS", -100.0)  # any pause counts as one of a minute
    stop = asyncio.Event()
    running = asyncio.create_task(line.start(Writer(line.journal), "a", stop))
    await line.ask("r1")
    await line.until(finished("r1"))  # the group still knows it: it goes on
    consumer = line.consumers[-1]

    async def gone(*_: object) -> bool:
        return False

    monkeypatch.setattr(consumer, "confirm", gone)
    with pytest.raises(BrokerError, match="no longer a member"):
        await asyncio.wait_for(running, 15)


async def test_an_answer_stands_where_its_question_does_whatever_its_key_says(line: Line) -> None:
    subject = "r1"
    home = line.broker.partition_of(subject.encode(), 2)
    async with line.running(Writer(line.journal)):
        await line.ask(subject, 1 - home)  # as a producer with another partitioner would
        seen = await line.until(finished(subject))
    at = {r.partition.number for r in seen if r.envelope.subject == subject}
    assert at == {1 - home}
    assert line.text(subject) == "".join(WORDS)


async def test_what_waits_and_needs_no_slot_is_handled_at_once(line: Line) -> None:
    line.slots = 1
    writer = Writer(line.journal, until=2)
    async with line.running(writer):
        await line.ask("runs")
        await line.until(has_words("runs", 2))
        await line.ask("waits")
        await line.ask("at once")
        line.at_once.add("at once")
        await line.until(has_words("at once", 2))
    assert [subject for subject, _ in writer.calls] == ["runs", "at once"]


async def test_of_two_ends_of_a_request_the_first_in_the_log_is_the_only_one(line: Line) -> None:
    failed = RequestFailed(code="refused", message="It was refused.", status=400, stage="before")
    async with line.running(Writer(line.journal, until=2)) as task:
        await line.ask("runs")
        await line.until(has_words("runs", 2))
        # A stage before us failed what it had passed on already, and somebody writes garbage under its name.
        await records.send(line.producer, line.source, envelope("runs", RequestFailed), failed)
        await line.producer.send(line.source.name, b"runs", b"{", to_headers(envelope("runs")))
        await records.send(line.producer, line.source, envelope("fails", RequestFailed), failed)
        await line.ask("fails")
        await line.until(finished("fails"))
        task.cancel()
    async with line.running(Writer(line.journal), "b"):
        await line.until(finished("runs"))
        await line.ask("last")
        await line.until(finished("last"))
    ends = [(r.envelope.subject, type(r.event)) for r in line.seen if r.event.TERMINAL]
    assert sorted(ends, key=str) == sorted(
        [("runs", GenerationFinished), ("fails", RequestFailed), ("last", GenerationFinished)], key=str
    )


async def test_an_owner_is_told_its_share_of_the_partitions_when_that_changes(line: Line) -> None:
    async with line.running(Writer(line.journal)):
        async with asyncio.timeout(20):
            while not line.shares:  # noqa: ASYNC110  # what it waits for has no event
                await asyncio.sleep(0.02)
        async with line.running(Writer(line.journal), "b"), asyncio.timeout(20):
            while {share.of(10) for share in line.shares[-2:]} != {5}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert line.shares[0] == Share(frozenset({0, 1}), 2)

"""How events are folded into the state of their subject: tried in memory and on real Kafka."""

import asyncio

import pytest

from libs.streaming.tests.one_stage import Line, envelope, failed, until
from penstock.messages import codec
from penstock.messages.chat import (
    AnswerStarted,
    ChatRequested,
    RequestFailed,
    TextGenerated,
)
from penstock.messages.envelope import to_headers
from penstock.messages.event import Event
from penstock.streaming import fold, runner
from penstock.streaming.clock import unix_ms
from penstock.streaming.errors import PermanentError
from penstock.streaming.ports import Partition
from penstock.streaming.stage import Fold, Outgoing, Received, Step


def folded(line: Line) -> Fold[str]:
    """Joins texts until one is '.', and then answers with all of them."""

    def handle(state: str | None, received: Received[Event]) -> Step[str]:
        event = received.event
        if isinstance(event, RequestFailed):
            return Step(None, [Outgoing(line.target, event)])
        if isinstance(event, ChatRequested):
            return Step("")  # pieces of text carry no deadline
        assert isinstance(event, TextGenerated)
        if state is None and event.start > 0:
            return Step(None)
        if event.text == "!":
            raise PermanentError("no_way", "never")
        if event.text == ".":
            return Step(None, [Outgoing(line.target, AnswerStarted(model=state or "?"))])
        return Step((state or "") + event.text)

    return Fold(handle)


async def test_a_subject_commits_at_its_end_and_a_restart_reads_it_again(line: Line) -> None:
    async with line.running(folded(line)) as offsets:
        await line.send("x", TextGenerated(start=0, text="a"))
        await line.send("x", TextGenerated(start=1, text="b"))
        await until(lambda: sum(mark.position for mark in offsets.marks().values()) == 2)
        assert offsets.in_flight == 1  # the first one holds the commit back, for both
    async with line.running(folded(line)) as offsets:
        await line.send("x", TextGenerated(start=2, text="."))
        assert [r.event for r in await line.events(1)] == [AnswerStarted(model="ab")]
        await until(lambda: offsets.in_flight == 0)
    async with line.running(folded(line)) as offsets:
        await line.send("y", TextGenerated(start=7, text="rest of what ended before"))
        await until(
            lambda: any(
                position.offset
                for n in range(2)
                if (position := offsets.committable(Partition(line.source.name, n)))
            )
        )
    assert not await line.results.poll(0.1)


async def test_a_subject_that_fails_or_never_ends_is_told_so_once(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LOOK_SECONDS", 0.1)
    async with line.running(folded(line)) as offsets:
        await line.send("bad", TextGenerated(start=0, text="a"))
        await line.send("bad", TextGenerated(start=1, text="!"))
        await line.send("endless", deadline_ms=unix_ms() - 1_500)
        await line.send("unreadable", TextGenerated(start=0, text="a"))
        headers = to_headers(envelope("unreadable", TextGenerated))
        await line.producer.send(line.source.name, b"unreadable", b"\xff", headers)
        outcome = {r.envelope.subject: r.event for r in await line.events(3)}
        codes = {s: e.code for s, e in outcome.items() if isinstance(e, RequestFailed)}
        assert codes == {"bad": "no_way", "endless": "deadline_exceeded", "unreadable": "invalid_event"}
        # The log's own end of each comes later, and counts no more.
        for subject in codes:
            await line.send(subject, failed("too_late"))
        await until(lambda: offsets.in_flight == 0)
        assert not await line.results.poll(0.1)


async def test_an_answer_whose_end_is_in_the_log_is_not_late_however_late_it_is_read(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold, "GRACE_MS", 0)
    monkeypatch.setattr(runner, "LOOK_SECONDS", 0.05)
    deadline_ms = unix_ms() + 1_000
    for subject in ("in time", "late"):
        await line.send(subject, deadline_ms=deadline_ms)
        await line.send(subject, TextGenerated(start=0, text="a"))
    await line.send("in time", TextGenerated(start=1, text="."))
    await asyncio.sleep(1.2)
    await line.send("late", TextGenerated(start=1, text="."))
    async with line.running(folded(line)):
        outcome = {r.envelope.subject: r.event for r in await line.events(2)}
    assert outcome["in time"] == AnswerStarted(model="a")
    assert isinstance(outcome["late"], RequestFailed)
    assert outcome["late"].code == "deadline_exceeded"


async def test_many_pieces_of_an_open_answer_are_not_kept(line: Line) -> None:
    async with line.running(folded(line)) as offsets:
        await asyncio.gather(
            *(line.send("x", TextGenerated(start=number, text="a")) for number in range(200))
        )
        await until(lambda: sum(mark.position for mark in offsets.marks().values()) == 200)
        assert offsets.in_flight == 1
        await line.send("x", TextGenerated(start=200, text="."))
        assert [r.event for r in await line.events(1)] == [AnswerStarted(model="a" * 200)]


async def test_records_of_a_replaced_owner_are_ignored_also_after_a_restart(line: Line) -> None:
    async def write(subject: str, start: int, text: str, epoch: int) -> None:
        headers = to_headers(envelope(subject, TextGenerated, epoch=epoch))
        body = codec.encode(TextGenerated(start=start, text=text))
        await line.producer.send(line.source.name, subject.encode(), body, headers, 0)

    async with line.running(folded(line)) as offsets:
        await write("r1", 0, "old", 1)
        await write("r1", 3, " new", 2)
        await write("r1", 3, " zombie", 1)
        await write("r1", 7, ".", 2)
        await line.events(1)
        await until(lambda: offsets.in_flight == 0)
    async with line.running(folded(line)):  # begins past the last record of epoch 2
        await write("r2", 0, "zombie", 1)
        await write("r2", 0, "good", 2)
        await write("r2", 4, ".", 2)
        [received] = await line.events(1)
    assert received.event == AnswerStarted(model="good")

"""What the runner does with records, whatever the broker: tried in memory and on real Kafka."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from libs.streaming.tests.one_stage import TRACE, Line, echo, envelope, failed, question, until
from penstock.messages import codec
from penstock.messages.chat import AnswerStarted, RequestFailed
from penstock.messages.envelope import from_headers, to_headers
from penstock.messages.event import Event
from penstock.streaming.clock import unix_ms
from penstock.streaming.errors import PermanentError, TransientError
from penstock.streaming.ports import Partition, Position
from penstock.streaming.stage import Batch, Caused, Each, Outgoing, Received


async def test_an_event_is_handled_and_what_it_caused_carries_its_headers(line: Line) -> None:
    deadline = unix_ms() + 60_000
    async with line.running(Each(echo(line), lambda: 4)):
        await line.send("r1", deadline_ms=deadline)
        [received] = await line.events(1)
    assert received.event == AnswerStarted(model="r1")
    carried = received.envelope
    assert (carried.subject, carried.tenant, carried.reply_partition) == ("r1", "acme", 1)
    assert (carried.deadline_ms, carried.source) == (deadline, f"/penstock/{line.group}")
    assert carried.traceparent.split("-")[1] == TRACE.split("-")[1]


async def test_a_repetition_gives_the_same_event_id(line: Line) -> None:
    async with line.running(Each(echo(line), lambda: 4)):
        await line.send("r1")
        await line.send("r1")
        first, second = await line.events(2)
    assert first.envelope.id == second.envelope.id


async def test_late_work_holds_the_commit_back_and_early_work_overtakes_it(line: Line) -> None:
    gate = asyncio.Event()

    async def handle(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        if received.envelope.subject == "slow":
            await gate.wait()
        yield Outgoing(line.target, AnswerStarted(model=received.envelope.subject))

    async with line.running(Each(handle, lambda: 8)) as offsets:
        event = question("x")
        for subject in ("slow", "quick"):
            headers = to_headers(envelope(subject))
            await line.producer.send(line.source.name, b"k", codec.encode(event), headers, 0)
        assert [r.event for r in await line.events(1)] == [AnswerStarted(model="quick")]
        assert offsets.committable(Partition(line.source.name, 0)) == Position(0)
        gate.set()
        assert [r.event for r in await line.events(1)] == [AnswerStarted(model="slow")]
        await until(lambda: offsets.committable(Partition(line.source.name, 0)) == Position(2))


async def test_never_more_at_once_than_allowed_and_nothing_lost(line: Line) -> None:
    running, most = 0, 0

    async def handle(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        yield Outgoing(line.target, AnswerStarted(model=received.envelope.subject))

    for number in range(40):
        await line.send(f"r{number}")
    async with line.running(Each(handle, lambda: 3)):
        done = {r.envelope.subject for r in await line.events(40)}
    assert most == 3
    assert done == {f"r{number}" for number in range(40)}


@pytest.mark.parametrize("body", [b"\x00\xff no event", b"{}", b"", None])
async def test_bytes_that_are_no_event_are_buried_and_the_stage_goes_on(
    line: Line, body: bytes | None
) -> None:
    async with line.running(Each(echo(line), lambda: 4)):
        await line.producer.send(line.source.name, b"k", body, [("mine", b"1")], 0)
        await line.send("after")
        [record] = await line.read(1, line.dead)
        [received] = await line.events(1)
    assert received.envelope.subject == "after"
    headers = dict(record.headers)
    assert (record.key, record.value or None) == (b"k", body or None)
    assert headers["mine"] == b"1"
    assert (headers["dlq_topic"], headers["dlq_partition"], headers["dlq_offset"]) == (
        line.source.name.encode(),
        b"0",
        b"0",
    )
    assert b"ce_specversion" in headers["dlq_error"]


async def test_a_flood_of_garbage_stops_the_stage_before_its_topic_is_empty(line: Line) -> None:
    async with line.running(Each(echo(line), lambda: 4)) as offsets:
        garbage = [line.producer.send(line.source.name, b"k", b"junk", [], 0) for _ in range(300)]
        await asyncio.gather(*garbage)
        assert len(await line.read(101, line.dead)) == 101
        await until(lambda: offsets.in_flight == 0)
        await asyncio.gather(*(line.producer.send(line.source.name, b"k", b"junk", [], 0) for _ in range(9)))
        assert await line.dead.poll(0.5) == []
        assert offsets.committable(Partition(line.source.name, 0)) == Position(101)
    assert "101 invalid records in a row" in line.quarantined[0]


async def test_a_valid_record_that_completes_a_window_of_garbage_stops_the_stage_too(
    line: Line,
) -> None:
    async with line.running(Each(echo(line), lambda: 4)):
        for _ in range(3):
            garbage = [line.producer.send(line.source.name, b"k", b"junk", [], 0) for _ in range(65)]
            await asyncio.gather(*garbage)
            await line.send_to(0, "r")
        await line.send_to(0, "r")
        await line.send_to(0, "the last of two hundred")
        await until(lambda: line.quarantined != [])
    assert "195 of the last 200 records are invalid" in line.quarantined[0]


async def test_an_unreadable_body_fails_its_request_at_once(line: Line) -> None:
    async with line.running(Each(echo(line), lambda: 4)):
        await line.producer.send(line.source.name, b"k", b"{not json", to_headers(envelope("bad")))
        [received] = await line.events(1)
        [buried] = await line.read(1, line.dead)
    assert isinstance(received.event, RequestFailed)
    assert (received.event.code, received.envelope.subject) == ("invalid_event", "bad")
    assert from_headers(buried.headers).subject == "bad"


async def test_a_transient_error_is_repeated(line: Line) -> None:
    calls: list[str] = []

    async def handle(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        calls.append(received.envelope.subject)
        if len(calls) < 3:
            raise TransientError("busy", "try again")
        yield Outgoing(line.target, AnswerStarted(model="m"))

    async with line.running(Each(handle, lambda: 4)):
        await line.send("r1")
        [received] = await line.events(1)
    assert isinstance(received.event, AnswerStarted)
    assert calls == ["r1"] * 3


async def test_a_transient_error_that_outlasts_the_stages_patience_fails_the_request(line: Line) -> None:
    calls: list[str] = []

    async def handle(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        calls.append(received.envelope.subject)
        raise TransientError("backend_unavailable", "No model server is available.")
        yield  # what makes it a generator

    async with line.running(Each(handle, lambda: 4, retry_seconds=0.5)):
        await line.send("r1")
        [received] = await line.events(1)
    assert isinstance(received.event, RequestFailed)
    assert (received.event.code, received.event.status) == ("backend_unavailable", 503)
    assert 1 < len(calls) < 20


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [(PermanentError("no_way", "never", 502), "no_way", 502), (KeyError("bug"), "internal_error", 500)],
)
async def test_a_permanent_error_or_a_fault_fails_the_request_and_buries_the_record(
    line: Line, error: Exception, code: str, status: int
) -> None:
    async def handle(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        if received.envelope.subject == "bad":
            raise error
        yield Outgoing(line.target, AnswerStarted(model="m"))

    async with line.running(Each(handle, lambda: 1)):
        await line.send("bad")
        await line.send("good")
        outcome = {r.envelope.subject: r.event for r in await line.events(2)}
        [buried] = await line.read(1, line.dead)
    failed = outcome["bad"]
    assert isinstance(failed, RequestFailed)
    assert (failed.code, failed.status, failed.stage) == (code, status, line.group)
    assert isinstance(outcome["good"], AnswerStarted)
    assert code.encode() in dict(buried.headers)["dlq_error"]


async def test_past_its_deadline_a_request_is_not_handled_or_is_broken_off(line: Line) -> None:
    handled: list[str] = []

    async def handle(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        handled.append(received.envelope.subject)
        await asyncio.sleep(60)
        yield Outgoing(line.target, AnswerStarted(model="m"))

    async with line.running(Each(handle, lambda: 4)):
        await line.send("over", deadline_ms=unix_ms() - 1)
        await line.send("soon", deadline_ms=unix_ms() + 700)
        outcome = {r.envelope.subject: r.event for r in await line.events(2)}
    assert handled == ["soon"]
    for event in outcome.values():
        assert isinstance(event, RequestFailed)
        assert (event.code, event.status) == ("deadline_exceeded", 504)
    assert not await line.dead.poll(0.1)


async def test_a_request_whose_end_is_written_is_not_ended_again_by_its_deadline(line: Line) -> None:
    async def handle(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        yield Outgoing(line.target, failed("its_own_end"))
        if received.envelope.subject == "slow":
            await asyncio.sleep(1)

    async with line.running(Each(handle, lambda: 1)):
        await line.send("slow", deadline_ms=unix_ms() + 500)
        await line.send("next")
        outcome = await line.events(2)
    ends = {r.envelope.subject: r.event for r in outcome}
    assert ends == dict.fromkeys(("slow", "next"), failed("its_own_end"))
    assert not await line.results.poll(0.1)


async def test_stopping_finishes_what_runs_and_leaves_the_rest_to_the_next(line: Line) -> None:
    started = asyncio.Event()

    async def slowly(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        started.set()
        await asyncio.sleep(0.3)
        yield Outgoing(line.target, AnswerStarted(model=received.envelope.subject))

    for number in range(5):
        await line.send(f"r{number}")
    async with line.running(Each(slowly, lambda: 1)):
        await started.wait()
    first = await line.events(1)
    async with line.running(Each(echo(line), lambda: 4)):
        rest = await line.events(4)
        await asyncio.sleep(0.3)
        assert not await line.results.poll(0.05)
    assert {r.envelope.subject for r in first + rest} == {f"r{number}" for number in range(5)}


async def test_a_batch_is_handled_together_and_only_its_faulty_record_is_lost(line: Line) -> None:
    sizes: list[int] = []

    async def handle(batch: Sequence[Received[Event]]) -> Sequence[Caused]:
        sizes.append(len(batch))
        if any(r.envelope.subject == "bad" for r in batch):
            raise PermanentError("no_way", "never")
        return [Caused(r, Outgoing(line.target, AnswerStarted(model="m"))) for r in batch]

    for subject in ("a", "b", "bad", "c"):
        await line.send(subject)
    async with line.running(Batch(handle, size=10)) as offsets:
        outcome = {r.envelope.subject: r.event for r in await line.events(4)}
        await until(lambda: offsets.in_flight == 0)
    assert {s for s, e in outcome.items() if isinstance(e, AnswerStarted)} == {"a", "b", "c"}
    assert isinstance(outcome["bad"], RequestFailed)
    assert max(sizes) > 1
    assert len(await line.read(1, line.dead)) == 1


async def test_an_event_repeated_in_another_batch_gives_the_same_event_id(line: Line) -> None:
    async def handle(batch: Sequence[Received[Event]]) -> Sequence[Caused]:
        return [Caused(r, Outgoing(line.target, AnswerStarted(model=m))) for r in batch for m in ("a", "b")]

    for subject in ("x", "y", "z"):
        await line.send(subject)
    async with line.running(Batch(handle, size=10)):
        together = await line.events(6)
        await line.send("z")
        alone = await line.events(2)
    ids = {(r.envelope.subject, str(r.event)): r.envelope.id for r in together}
    assert len(set(ids.values())) == 6
    assert [r.envelope.id for r in alone] == [ids["z", str(r.event)] for r in alone]


async def test_what_waits_for_a_slot_ends_at_its_deadline(line: Line) -> None:
    go_on = asyncio.Event()

    async def handle(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        await go_on.wait()
        yield Outgoing(line.target, AnswerStarted(model=received.envelope.subject))

    async with line.running(Each(handle, lambda: 1)):
        await line.send_to(0, "runs")
        for number in range(20):
            await line.send(f"waits{number}", deadline_ms=unix_ms() + 400)
        ended = await line.events(20)  # while the only slot is taken
        go_on.set()
        await line.events(1)
    codes = {r.event.code for r in ended if isinstance(r.event, RequestFailed)}
    assert codes == {"deadline_exceeded"}
    assert {r.envelope.subject for r in ended} == {f"waits{number}" for number in range(20)}


async def test_a_request_that_has_failed_before_is_passed_on_at_once(line: Line) -> None:
    async def handle(_: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        await asyncio.sleep(60)
        yield Outgoing(line.target, AnswerStarted(model="m"))

    async with line.running(Each(handle, lambda: 0)):  # no slot at all
        await line.send("r1", failed("refused"))
        [received] = await line.events(1)
    assert received.event == failed("refused")
    assert not await line.dead.poll(0.1)


async def test_an_event_too_large_for_the_broker_fails_its_request_and_no_more(line: Line) -> None:
    async def handle(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        size = (5 << 20) if received.envelope.subject == "big" else 1
        yield Outgoing(line.target, AnswerStarted(model="m" * size))

    async with line.running(Each(handle, lambda: 4)) as offsets:
        await line.send("big")
        [received] = await line.events(1)
        await line.send("small")
        [after] = await line.events(1)
        await until(lambda: offsets.in_flight == 0)
    assert isinstance(received.event, RequestFailed)
    assert (received.event.code, received.event.status) == ("record_too_large", 413)
    assert after.event == AnswerStarted(model="m")


async def test_a_handlers_own_timeout_is_no_deadline(line: Line) -> None:
    async def handle(_: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        raise TimeoutError
        yield  # what makes it a generator

    async with line.running(Each(handle, lambda: 4)):
        await line.send("r1", deadline_ms=unix_ms() + 60_000)
        [received] = await line.events(1)
    assert isinstance(received.event, RequestFailed)
    assert received.event.code == "internal_error"


async def test_nothing_is_lost_or_doubled_with_thousands_in_flight(line: Line) -> None:
    async with line.running(Each(echo(line), lambda: 64)):
        await asyncio.gather(*(line.send(f"r{number}") for number in range(2_000)))
        subjects = [r.envelope.subject for r in await line.events(2_000)]
    assert len(subjects) == len(set(subjects)) == 2_000

"""Recorded questions, asked again over a broker in memory, and over real Kafka by the command."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from penstock.devstack.replays import SOURCE, Answer, Compared, Replays, changes
from penstock.messages.chat import (
    AnswerCompared,
    AnswerCompleted,
    AnswerStarted,
    AnswerText,
    ChatRequested,
    Citation,
    CitedSpan,
    Message,
    RequestCancelled,
    RequestFailed,
    Sampling,
    Usage,
)
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.ids import new_request_id, reply_partition
from penstock.messages.topics import CHAT_REPLAYS, CHAT_REQUESTS, CHAT_RESPONSES, TOPICS
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.admin.topics import ensure_topics
from penstock.streaming.ports import Partition, Producer, Reader
from penstock.streaming.records import decode, send

USAGE = Usage(prompt_tokens=1, completion_tokens=7)


def cited(document: str) -> Citation:
    return Citation(index=1, document_id=document, title="T", start=0, end=3, quote="abc")


def completed(text: str, *documents: str) -> AnswerCompleted:
    return AnswerCompleted(
        length=len(text),
        finish_reason="stop",
        usage=USAGE,
        citations=tuple(cited(document) for document in documents),
    )


class Clock:
    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


class Log:
    """Writes questions and answers as the gateway and postprocessing do."""

    def __init__(self, producer: Producer, clock: Callable[[], int]) -> None:
        self.producer = producer
        self.clock = clock

    async def ask(self, text: str, tenant: str = "acme", source: str = "/penstock/gateway") -> str:
        request_id = new_request_id(3, self.clock())
        question = ChatRequested(
            model="m", messages=(Message(role="user", content=text),), sampling=Sampling(temperature=0)
        )
        await send(
            self.producer, CHAT_REQUESTS, self._envelope(request_id, question, tenant, source), question
        )
        return request_id

    async def answer(self, request_id: str, *events: Event, tenant: str = "acme") -> None:
        for event in events:
            envelope = self._envelope(request_id, event, tenant, "/penstock/postprocessing")
            await send(self.producer, CHAT_RESPONSES, envelope, event)

    def _envelope(self, request_id: str, event: Event, tenant: str, source: str) -> Envelope:
        return Envelope(
            id="e",
            type=event.TYPE,
            source=source,
            time_ms=self.clock(),
            subject=request_id,
            tenant=tenant,
            reply_partition=reply_partition(request_id),
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broker(clock: Clock) -> MemoryBroker:
    return MemoryBroker(now_ms=clock)


@pytest.fixture
def log(broker: MemoryBroker, clock: Clock) -> Log:
    return Log(broker.producer(), clock)


@pytest.fixture
def replays(broker: MemoryBroker, clock: Clock) -> Replays:
    return Replays(broker.reader(), broker.producer(), clock)


@asynccontextmanager
async def answering(log: Log, reader: Reader, reply: Callable[[str], list[Event]]) -> AsyncIterator[None]:
    """Today's stack: answers every question that a replay asks."""

    async def work() -> None:
        while True:
            for record in await reader.poll(0.05):
                received = decode(record, CHAT_REQUESTS)
                assert isinstance(received.event, ChatRequested)
                if received.envelope.source == SOURCE:
                    assert received.event.background
                    text = received.event.messages[0].content
                    await log.answer(received.envelope.subject, *reply(text), tenant=received.envelope.tenant)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def questions(broker: MemoryBroker) -> Reader:
    partitions = [Partition(CHAT_REQUESTS.name, n) for n in range(CHAT_REQUESTS.partitions)]
    return broker.reader(partitions, "beginning")


async def ask_all(replays: Replays) -> list[Compared]:
    return [comparison async for comparison in replays.ask_again(await replays.recorded(0))]


async def test_the_difference_of_an_answer(
    broker: MemoryBroker, log: Log, replays: Replays, clock: Clock
) -> None:
    first = await log.ask("Why?")
    clock.ms += 100
    await log.answer(first, AnswerStarted(model="m"), AnswerText(start=0, text="Because it is "))
    clock.ms += 200
    await log.answer(first, AnswerText(start=14, text="so."), completed("Because it is so.", "a", "b"))

    def now(_text: str) -> list[Event]:
        clock.ms += 50
        text = "Because it was so."
        return [AnswerText(start=0, text=text), completed(text, "b", "c")]

    async with answering(log, questions(broker), now):
        [result] = await ask_all(replays)
    event = result.event
    assert (event.before.request_id, event.model) == (first, "m")
    assert event.after.request_id != first
    assert (event.before.first_text_ms, event.before.whole_ms) == (100, 300)
    assert (event.after.first_text_ms, event.after.whole_ms) == (50, 50)
    assert (event.before.length, event.after.length) == (17, 18)
    assert (event.before.completion_tokens, event.after.completion_tokens) == (7, 7)
    assert (event.equal, event.first_difference) == (False, len("Because it "))
    assert event.added == (CitedSpan(document_id="c", start=0, end=3),)
    assert event.removed == (CitedSpan(document_id="a", start=0, end=3),)

    [record] = broker.log(CHAT_REPLAYS.name)
    written = decode(record, CHAT_REPLAYS)
    assert written.event == event
    assert (written.envelope.tenant, written.envelope.subject) == ("acme", event.after.request_id)
    [asked] = [
        r for r in broker.log(CHAT_REQUESTS.name) if decode(r, CHAT_REQUESTS).envelope.source == SOURCE
    ]
    assert dict(asked.headers)["tracelink"] == b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert reply_partition(event.after.request_id) == 3


async def test_an_equal_answer_is_equal_and_a_replay_is_not_replayed(
    broker: MemoryBroker, log: Log, replays: Replays
) -> None:
    for text in ("one", "two", "three", "four", "five", "six"):
        await log.answer(await log.ask(text), AnswerText(start=0, text=text), completed(text))
    async with answering(
        log, questions(broker), lambda text: [AnswerText(start=0, text=text), completed(text)]
    ):
        results = await ask_all(replays)
        again = await replays.recorded(0)
    assert len(results) == len(again) == 6
    assert all(result.event.equal and result.event.first_difference is None for result in results)


async def test_what_is_asked_again_is_chosen_by_time_tenant_and_number(
    log: Log, replays: Replays, clock: Clock
) -> None:
    ids = []
    for number in range(4):
        clock.ms += 1_000
        ids.append(await log.ask(str(number), tenant="zeta" if number == 1 else "acme"))

    async def chosen(*arguments: int | str | None) -> list[str]:
        return [recorded.envelope.subject for recorded in await replays.recorded(*arguments)]  # type: ignore[arg-type]

    assert await chosen(0) == ids
    assert await chosen(clock.ms - 2_000) == ids[1:]
    assert await chosen(0, clock.ms - 1_000) == ids[:2]
    assert await chosen(0, None, "zeta") == [ids[1]]
    assert await chosen(0, None, "acme", 2) == [ids[0], ids[2]]


async def test_failures_and_silence_are_outcomes(
    broker: MemoryBroker, log: Log, replays: Replays, clock: Clock
) -> None:
    failed = RequestFailed(code="c", message="m", status=500, stage="s")
    await log.answer(await log.ask("fails now"), completed(""))
    await log.answer(await log.ask("failed then"), failed, completed("late"))
    await log.ask("silent")

    def now(text: str) -> list[Event]:
        if text == "silent":
            clock.ms += 126_000
            return []
        return [failed] if text == "fails now" else [completed("")]

    async with answering(log, questions(broker), now):
        results = {r.recorded.question.messages[0].content: r.event for r in await ask_all(replays)}
    outcomes = {text: (event.before.outcome, event.after.outcome) for text, event in results.items()}
    assert outcomes == {
        "fails now": ("completed", "failed"),
        "failed then": ("failed", "completed"),
        "silent": ("missing", "missing"),
    }
    assert not results["fails now"].equal
    assert results["fails now"].first_difference is None


def test_an_answer_is_read_by_the_logs_rules() -> None:
    answer = Answer(asked_ms=1_000)
    answer.add(AnswerText(start=0, text="abc"), 1_010)
    answer.add(AnswerText(start=0, text="abcd"), 1_020)
    answer.add(AnswerText(start=9, text="lost"), 1_030)
    answer.add(RequestCancelled(reason="requested", length=4, usage=USAGE), 1_040)
    answer.add(AnswerText(start=4, text="late"), 1_050)
    answer.add(completed("abcd"), 1_060)
    assert (answer.text, answer.outcome, answer.first_ms, answer.whole_ms) == ("abcd", "cancelled", 10, 40)


def test_changes_join_to_both_texts() -> None:
    before, after = "The gate holds  the water back.", "The gate lets the water\nthrough!"
    found = changes(before, after)
    assert "".join(text for change, text in found if change != "added") == before
    assert "".join(text for change, text in found if change != "removed") == after
    assert ("same", "The gate ") in found
    assert changes("", "") == []


async def test_the_command_over_kafka(kafka_broker: str, tmp_path) -> None:
    await ensure_topics(kafka_broker, TOPICS)
    producer = await open_producer(kafka_broker, [topic.name for topic in TOPICS])
    log = Log(producer, lambda: __import__("time").time_ns() // 1_000_000)
    tenant = "replays-of-a-test"
    for text in ("same", "other"):
        events = (AnswerText(start=0, text=f"old {text}"), completed(text))
        await log.answer(await log.ask(text, tenant), *events, tenant=tenant)
    partitions = [Partition(CHAT_REQUESTS.name, n) for n in range(CHAT_REQUESTS.partitions)]
    reader = await open_reader(kafka_broker, partitions, "end")
    side = await open_reader(kafka_broker, [Partition(CHAT_REPLAYS.name, 0)], "end")

    def now(text: str) -> list[Event]:
        words = "old same" if text == "same" else "new other"
        return [AnswerText(start=0, text=words), completed(words)]

    async with answering(log, reader, now):
        done = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "penstock.devstack.cli",
            *("replay", "--since", "1h", "--tenant", tenant, "--show"),
            env=os.environ
            | {"PENSTOCK_KAFKA": kafka_broker, "PENSTOCK_STATE": str(tmp_path), "COLUMNS": "240"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = (text.decode() for text in await asyncio.wait_for(done.communicate(), 60))
    assert (done.returncode, err) == (0, "")
    assert "2 asked again: 1 equal, 1 different, 0 not completed" in out
    assert re.search(r"completed +equal +8 +7 ", out)
    assert re.search(r"completed +differs at 0 +9 +7 ", out)
    assert "[-old-]{+new+} other" in out
    events: list[Event] = []
    while len(events) < 2:
        events += [decode(record, CHAT_REPLAYS).event for record in await asyncio.wait_for(side.poll(5), 20)]
    assert sorted(event.equal for event in events if isinstance(event, AnswerCompared)) == [False, True]
    for client in (reader, side, producer):
        await client.close()

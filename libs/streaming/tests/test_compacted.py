"""Records of a compacted topic: their keys and partitions, and those that only take another one back."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest

from penstock.messages.documents import Chunk, DocumentChunked
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.topics import Key, Topic
from penstock.streaming import records
from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import Partition, Position, Record
from penstock.streaming.runner import Runner
from penstock.streaming.stage import Each, Outgoing, Received, Stage


def envelope(subject: str, tenant: str = "acme") -> Envelope:
    event_type = DocumentChunked.TYPE
    return Envelope(id="e", type=event_type, source="/t", time_ms=0, subject=subject, tenant=tenant)


def chunked(subject: str, version: int = 1, part: int = 0) -> DocumentChunked:
    chunk = Chunk(chunk_id="c", start=0, end=1, text="t", tokens=1)
    return DocumentChunked(
        document_id=subject, version=version, title="T", part=part, parts=2, chunks=(chunk,)
    )


@pytest.fixture
async def topic(broker: Any, unique: Callable[[str], str]) -> Topic:
    topic = Topic(unique("compacted"), 4, (DocumentChunked,), key=Key.SLOT)
    await broker.make_topics([topic])
    return topic


async def read(broker: Any, topic: Topic, count: int) -> list[Record]:
    reader = await broker.reader([Partition(topic.name, n) for n in range(4)], "beginning")
    found: list[Record] = []
    async with asyncio.timeout(15):
        while len(found) < count:
            found += await reader.poll(0.1)
    return found


async def test_all_of_a_subject_lies_where_its_id_leads_each_slot_under_its_own_key(
    broker: Any, topic: Topic
) -> None:
    producer = await broker.producer()
    names = [f"doc-{n}" for n in range(12)]
    for name in names:
        for version, part in ((1, 0), (1, 1), (2, 0)):
            await records.send(producer, topic, envelope(name), chunked(name, version, part))
    found = await read(broker, topic, 36)
    assert len({record.key for record in found}) == 36
    for record in found:
        subject = dict(record.headers)["ce_subject"]
        assert record.partition.number == broker.partition_of(subject, 4)


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a", "doc"), ("b", "doc")), (("a", 'b","c'), ('a","b', "c")), (("a/b", "c"), ("a", "b/c"))],
)
async def test_no_tenant_replaces_what_another_wrote(
    broker: Any, topic: Topic, one: tuple[str, str], other: tuple[str, str]
) -> None:
    producer = await broker.producer()
    for tenant, name in (one, other):
        await records.send(producer, topic, envelope(name, tenant), chunked(name))
        await records.take_back(producer, topic, envelope(name, tenant), (1, 0))
    keys = {(r.partition, r.key): r.value for r in await read(broker, topic, 4)}
    assert list(keys.values()) == [None, None]


async def test_what_is_taken_back_has_the_key_and_the_partition_of_what_was_sent(
    broker: Any, topic: Topic
) -> None:
    producer = await broker.producer()
    await records.send(producer, topic, envelope("doc"), chunked("doc", 7, 3))
    await records.take_back(producer, topic, envelope("doc"), (7, 3))
    sent, taken_back = await read(broker, topic, 2)
    assert (taken_back.partition, taken_back.key, taken_back.value) == (sent.partition, sent.key, None)
    assert records.envelope_of(taken_back) == envelope("doc")
    assert [records.takes_back(record, topic) for record in (sent, taken_back)] == [False, True]


async def test_a_stage_passes_over_what_is_taken_back(
    broker: Any, topic: Topic, unique: Callable[[str], str]
) -> None:
    handled: list[str] = []

    async def handle(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        handled.append(received.envelope.subject)
        events: Sequence[Outgoing] = ()
        for event in events:
            yield event

    producer, group = await broker.producer(), unique("group")
    await records.take_back(producer, topic, envelope("doc"), (1, 0))
    await records.send(producer, topic, envelope("doc"), chunked("doc", 2))
    await records.take_back(producer, topic, envelope("doc"), (2, 0))
    where = Partition(topic.name, broker.partition_of(b"doc", 4))
    offsets, stop = Offsets(), asyncio.Event()
    consumer = await broker.consumer(group, [topic], offsets.committable)
    stage = Stage(group, (topic,), Each(handle, lambda: 4), failures=None)
    running = asyncio.create_task(Runner(stage, consumer, producer, offsets).run(stop))
    async with asyncio.timeout(20):
        while offsets.committable(where) != Position(3):  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.02)
    stop.set()
    await running
    assert handled == ["doc"]
    dead = await broker.reader([Partition(topic.dlq, 0)], "beginning")
    assert await dead.poll(0.3) == []

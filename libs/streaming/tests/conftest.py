"""Brokers for the suites of streaming: one in memory, one real Kafka."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from libs.streaming.tests.one_stage import Line
from penstock.messages.chat import AnswerStarted, ChatRequested, RequestFailed, TextGenerated
from penstock.messages.topics import Topic
from penstock.streaming.adapters import kafka
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.admin.overview import open_overview
from penstock.streaming.admin.topics import ensure_topics
from penstock.streaming.clock import unix_ms
from penstock.streaming.connection import KafkaConnection
from penstock.streaming.ports import Committable, Consumer, Overview, Partition, Producer, Reader, Start

_numbers = itertools.count()


@dataclass
class Broker:
    """What a test needs of either broker; everything opened is closed at the end of the test."""

    producer: Callable[[], Awaitable[Producer]]
    reader: Callable[[Sequence[Partition], Start], Awaitable[Reader]]
    consumer: Callable[[str, Sequence[Topic], Committable], Awaitable[Consumer]]
    overview: Callable[[], Awaitable[Overview]]
    make_topics: Callable[[Sequence[Topic]], Awaitable[None]]
    partition_of: Callable[[bytes, int], int]


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Names that no other test uses: the real broker serves a whole session."""
    return lambda name: f"{name}-{next(_numbers)}"


@pytest.fixture(params=["memory", "librdkafka", "kafka-python"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    if request.param == "memory":
        yield _memory()
        return
    bootstrap = KafkaConnection(request.getfixturevalue("kafka_broker"), client=request.param)
    opened: list[Any] = []

    async def keep(opening: Awaitable[Any]) -> Any:
        opened.append(await opening)
        return opened[-1]

    async def make_topics(topics: Sequence[Topic]) -> None:
        await ensure_topics(bootstrap, topics)

    yield Broker(
        producer=lambda: keep(kafka.open_producer(bootstrap)),
        reader=lambda partitions, start: keep(kafka.open_reader(bootstrap, partitions, start)),
        consumer=lambda group, topics, committable: keep(
            kafka.open_consumer(bootstrap, group, [t.name for t in topics], committable, 6_000)
        ),
        overview=lambda: keep(open_overview(bootstrap)),
        make_topics=make_topics,
        partition_of=kafka.partition_of,
    )
    await asyncio.gather(*(item.close() for item in opened), return_exceptions=True)


@pytest.fixture
async def line(broker: Any, unique: Callable[[str], str]) -> Line:
    source = Topic(unique("in"), 2, (ChatRequested, TextGenerated, RequestFailed))
    target = Topic(unique("out"), 2, (AnswerStarted, RequestFailed))
    await broker.make_topics([source, target])
    results = await broker.reader([Partition(target.name, n) for n in range(2)], "beginning")
    dead = await broker.reader([Partition(source.dlq, 0)], "beginning")
    return Line(broker, source, target, unique("group"), await broker.producer(), results, dead)


def _memory() -> Broker:
    brokers: list[MemoryBroker] = []

    async def make_topics(topics: Sequence[Topic]) -> None:
        brokers.append(MemoryBroker(topics, unix_ms))

    async def producer() -> Producer:
        return brokers[0].producer()

    async def reader(partitions: Sequence[Partition], start: Start) -> Reader:
        return brokers[0].reader(partitions, start)

    async def consumer(group: str, topics: Sequence[Topic], committable: Committable) -> Consumer:
        return brokers[0].consumer(group, [t.name for t in topics], committable)

    async def overview() -> Overview:
        return brokers[0].overview()

    return Broker(
        producer,
        reader,
        consumer,
        overview,
        make_topics,
        lambda key, partitions: brokers[0].partition_of(key, partitions),
    )

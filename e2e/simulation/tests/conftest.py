"""The simulated broker for the conformance suites of libs/streaming, on a real event loop."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random
from typing import Any, TypeVar

import pytest

from e2e.simulation.kafka.cluster import Cluster
from e2e.simulation.kafka.consumer import SimulatedConsumer
from e2e.simulation.kafka.link import Link
from e2e.simulation.kafka.producer import SimulatedProducer
from e2e.simulation.kafka.reader import SimulatedOverview, SimulatedReader
from libs.streaming.tests.conftest import Broker
from penstock.messages.topics import Topic
from penstock.streaming.clock import BrokerClock, unix_ms
from penstock.streaming.ports import Committable, Partition, Start

_numbers = itertools.count()
T = TypeVar("T")


class RealTime:
    """Time of the running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    @property
    def now(self) -> float:
        return self._loop.time()

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        self._loop.call_later(seconds, action)


@pytest.fixture
def unique() -> Callable[[str], str]:
    return lambda name: f"{name}-{next(_numbers)}"


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    loop, random = asyncio.get_running_loop(), Random(17)
    cluster = Cluster(RealTime(), random, unix_ms)
    opened: list[Any] = []

    def link() -> Link:
        return Link(RealTime(), random, cluster.weather, lambda function: loop.call_soon(function))

    def kept(one: T) -> T:
        opened.append(one)
        return one

    async def producer() -> SimulatedProducer:
        return kept(SimulatedProducer(cluster, link(), BrokerClock()))

    async def reader(partitions: Sequence[Partition], start: Start) -> SimulatedReader:
        one = kept(SimulatedReader(cluster, link()))
        await one.read(dict.fromkeys(partitions, start))
        return one

    async def consumer(group: str, topics: Sequence[Topic], committable: Committable) -> SimulatedConsumer:
        names = [topic.name for topic in topics]
        return kept(SimulatedConsumer(cluster, link(), group, names, committable, 6.0))

    async def overview() -> SimulatedOverview:
        return SimulatedOverview(cluster, link())

    async def make_topics(topics: Sequence[Topic]) -> None:
        cluster.make_topics(topics)

    yield Broker(producer, reader, consumer, overview, make_topics, cluster.partition_of)
    await asyncio.gather(*(one.close() for one in opened), return_exceptions=True)

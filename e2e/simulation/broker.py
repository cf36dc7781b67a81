"""How one simulated process comes to the cluster."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from e2e.simulation.kafka.cluster import Cluster
from e2e.simulation.kafka.consumer import SimulatedConsumer
from e2e.simulation.kafka.link import Link
from e2e.simulation.kafka.producer import SimulatedProducer
from e2e.simulation.kafka.reader import SimulatedReader
from e2e.simulation.world import Process, World
from penstock.streaming.clock import BrokerClock
from penstock.streaming.ports import Committable, Consumer, Partition, Producer, Reader, Start


class SimulatedBroker:
    """Port: Broker, for one process; `links` are its connections, to be cut."""

    def __init__(self, world: World, cluster: Cluster, process: Process) -> None:
        self._world = world
        self._cluster = cluster
        self._process = process
        self.links: list[Link] = []

    async def open_producer(self, _topics: Sequence[str], clock: BrokerClock) -> Producer:
        return SimulatedProducer(self._cluster, self._link(), clock)

    async def open_consumer(
        self, group: str, topics: Sequence[str], committable: Committable, session_timeout_ms: int
    ) -> Consumer:
        session_s = session_timeout_ms / 1000
        return SimulatedConsumer(self._cluster, self._link(), group, topics, committable, session_s)

    async def open_reader(self, partitions: Collection[Partition] = (), start: Start = "end") -> Reader:
        reader = SimulatedReader(self._cluster, self._link())
        if partitions:
            await reader.read(dict.fromkeys(partitions, start))
        return reader

    def _link(self) -> Link:
        link = Link(self._world, self._world.random, self._cluster.weather, self._process.call)
        self.links.append(link)
        return link

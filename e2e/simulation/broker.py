"""How one simulated process comes to the cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from e2e.simulation.kafka.cluster import Cluster
from e2e.simulation.kafka.consumer import SimulatedConsumer
from e2e.simulation.kafka.link import Link
from e2e.simulation.kafka.producer import SimulatedProducer
from e2e.simulation.kafka.reader import SimulatedReader
from e2e.simulation.world import Process, World
from penstock.streaming.clock import BrokerClock
from penstock.streaming.ports import BrokerError, Committable, Consumer, Partition, Producer, Reader, Start


@dataclass(slots=True)
class _Trap:
    name: str
    passes: int
    action: Callable[[], object]


class SimulatedBroker:
    """Port: Broker, for one process of a release; `links` are its connections, to be cut."""

    def __init__(self, world: World, cluster: Cluster, process: Process, release: str = "") -> None:
        self._world = world
        self._cluster = cluster
        self._process = process
        self._release = release
        self.links: list[Link] = []
        self.producers: list[SimulatedProducer] = []
        self._trap: _Trap | None = None

    def trap(self, name: str, passes: int, action: Callable[[], object]) -> None:
        """Do something when a request of this name is sent, or its answer arrives, after so many passes."""
        self._trap = _Trap(name, passes, action)

    async def open_producer(self, _topics: Sequence[str], clock: BrokerClock) -> Producer:
        producer = SimulatedProducer(self._cluster, self._link(), clock, self._release)
        self.producers.append(producer)
        return producer

    async def open_consumer(
        self, group: str, topics: Sequence[str], committable: Committable, session_timeout_ms: int
    ) -> Consumer:
        session_s = session_timeout_ms / 1000
        return SimulatedConsumer(self._cluster, self._link(), group, topics, committable, session_s)

    async def open_reader(self, partitions: Collection[Partition] = (), start: Start = "end") -> Reader:
        reader = SimulatedReader(self._cluster, self._link())
        if partitions:
            try:
                await reader.read(dict.fromkeys(partitions, start))
            except BrokerError:
                await reader.close()
                raise
        return reader

    def _link(self) -> Link:
        link = Link(self._world, self._world.random, self._cluster.weather, self._process.call, self._step)
        self.links.append(link)
        return link

    def _step(self, name: str) -> bool:
        """Spring a trap; return whether the process is gone, so that nothing is sent or delivered."""
        trap = self._trap
        if trap is None or trap.name != name:
            return False
        if trap.passes > 0:
            trap.passes -= 1
            return False
        self._trap = None
        trap.action()
        return not self._process.alive

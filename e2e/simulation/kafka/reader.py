"""Chosen partitions, read without a group; and a view of how far everything is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from e2e.simulation.kafka.cluster import Cluster
from e2e.simulation.kafka.fetching import Fetcher
from e2e.simulation.kafka.link import KafkaError, Link, Reply
from penstock.streaming.ports import BrokerError, Extent, Group, Partition, Record, Start

_REQUEST_S = 5.0
T = TypeVar("T")


class SimulatedReader:
    """Port: Reader."""

    def __init__(self, cluster: Cluster, link: Link) -> None:
        self._cluster = cluster
        self._link = link
        self._fetcher = Fetcher(cluster, link)
        self._positions: dict[Partition, int] = {}

    async def poll(self, wait: float) -> Sequence[Record]:
        records = await self._fetcher.take(wait)
        for record in records:
            self._positions[record.partition] = record.offset + 1
        return records

    async def read(self, starts: Mapping[Partition, Start]) -> None:
        cluster = self._cluster
        places = await ask(
            self._link, "offsets", lambda: {p: cluster.offset(p, start) for p, start in starts.items()}
        )
        for partition, offset in places.items():
            self._positions[partition] = offset
            self._fetcher.go(partition, offset)

    async def leave(self, partitions: Collection[Partition]) -> None:
        self._fetcher.drop(partitions)
        for partition in partitions:
            self._positions.pop(partition, None)

    def position(self, partition: Partition) -> int:
        return self._positions[partition]

    async def close(self) -> None:
        self._fetcher.close()


class SimulatedOverview:
    """Port: Overview."""

    def __init__(self, cluster: Cluster, link: Link) -> None:
        self._cluster = cluster
        self._link = link

    async def extents(self, partitions: Collection[Partition]) -> dict[Partition, Extent]:
        return await ask(self._link, "offsets", lambda: {p: self._extent(p) for p in partitions})

    async def groups(self, names: Collection[str]) -> dict[str, Group]:
        return await ask(self._link, "groups", lambda: {name: self._group(name) for name in names})

    async def group_names(self) -> list[str]:
        return await ask(self._link, "groups", lambda: sorted(self._cluster.groups))

    async def close(self) -> None:
        return

    def _extent(self, partition: Partition) -> Extent:
        log = self._cluster.logs[partition]
        return Extent(log.begin, log.high_watermark)

    def _group(self, name: str) -> Group:
        group = self._cluster.groups.get(name)
        if group is None:
            return Group(0, {})
        return Group(len(group.members), {p: position.offset for p, position in group.committed.items()})


async def ask(link: Link, name: str, look_up: Callable[[], T]) -> T:
    """Return what the cluster finds. Raises BrokerError."""

    def handle(reply: Reply[T]) -> None:
        try:
            reply(look_up())
        except KafkaError as error:
            reply(error)

    try:
        return await link.call(name, handle, _REQUEST_S)
    except KafkaError as error:
        raise BrokerError(error.name) from error

"""How far topics and groups are (port: Overview), by one connection that stays open."""

from collections.abc import Collection
from contextlib import ExitStack

from penstock.streaming.adapters.kafka.client import Thread
from penstock.streaming.admin.inspection import Inspection, inspecting
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import Extent, Group, Partition

_ANSWER_SECONDS = 3.0


class KafkaOverview:
    """An inspection in a thread of its own (port: Overview)."""

    def __init__(self, inspection: Inspection, connection: ExitStack, thread: Thread) -> None:
        self._inspection = inspection
        self._connection = connection
        self._thread = thread

    async def extents(self, partitions: Collection[Partition]) -> dict[Partition, Extent]:
        return await self._thread.call(self._extents, partitions)

    def _extents(self, partitions: Collection[Partition]) -> dict[Partition, Extent]:
        begins = self._inspection.begins(partitions)
        return {at: Extent(begins[at], end) for at, end in self._inspection.ends(partitions).items()}

    async def groups(self, names: Collection[str]) -> dict[str, Group]:
        return await self._thread.call(self._groups, names)

    def _groups(self, names: Collection[str]) -> dict[str, Group]:
        there = set(self._inspection.group_names())
        found = self._inspection.groups([name for name in names if name in there])
        return {name: found.get(name, Group(0, {})) for name in names}

    async def group_names(self) -> list[str]:
        return await self._thread.call(self._inspection.group_names)

    async def close(self) -> None:
        await self._thread.call(self._connection.close)
        self._thread.end()


async def open_overview(cluster: Cluster) -> KafkaOverview:
    """Connect. Raises BrokerError if no broker answers."""
    thread, connection = Thread("kafka-overview"), ExitStack()
    inspection = await thread.call(connection.enter_context, inspecting(cluster, _ANSWER_SECONDS))
    return KafkaOverview(inspection, connection, thread)

"""How far an index is behind the log of documents."""

from collections.abc import Collection

from penstock.messages.topics import Topic
from penstock.streaming.adapters.kafka import open_reader
from penstock.streaming.adapters.kafka.cluster import committed
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import BrokerError, Partition, Reader, Start


class CatchUp:
    """Compares what a consumer group has committed with where the topics ended at the first look.

    `total` counts the records to be handled, `done` those that have been.
    """

    def __init__(self, cluster: Cluster, group: str, topics: Collection[Topic]) -> None:
        self._cluster = cluster
        self._group = group
        self._partitions = [Partition(topic.name, n) for topic in topics for n in range(topic.partitions)]
        self._reader: Reader | None = None
        self._ends: dict[Partition, int] = {}
        self.total = 0
        self.done = 0

    async def reason(self) -> str | None:
        """Return None once the group has handled all records that there were at the first call."""
        try:
            if self._reader is None:
                self._reader = await open_reader(self._cluster)
                self._ends = await self._at(self._reader, "end")
            # What retention has deleted since is waited for no more.
            begins = await self._at(self._reader, "beginning")
            done = await committed(self._cluster, self._group)
        except BrokerError as error:
            return f"no offsets from {self._cluster} ({error})"
        behind = sum(max(0, end - max(begins[p], done.get(p, 0))) for p, end in self._ends.items())
        self.total = sum(max(0, end - begins[p]) for p, end in self._ends.items())
        self.done = self.total - behind
        return f"{behind} records are not indexed yet" if behind else None

    async def close(self) -> None:
        """Close the connection."""
        if self._reader is not None:
            await self._reader.close()

    async def _at(self, reader: Reader, start: Start) -> dict[Partition, int]:
        await reader.read(dict.fromkeys(self._partitions, start))
        return {partition: reader.position(partition) for partition in self._partitions}

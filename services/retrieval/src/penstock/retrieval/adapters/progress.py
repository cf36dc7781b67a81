"""How far an index is behind the log of documents, and which index it is."""

from collections.abc import Collection
from pathlib import Path
from secrets import token_hex

from penstock.messages.topics import Topic
from penstock.streaming.adapters.kafka import open_reader
from penstock.streaming.admin import committed
from penstock.streaming.ports import BrokerError, Partition, Reader, Start


class CatchUp:
    """Compares what a consumer group has committed with where the topics ended at the first look."""

    def __init__(self, bootstrap: str, group: str, topics: Collection[Topic]) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._partitions = [Partition(topic.name, n) for topic in topics for n in range(topic.partitions)]
        self._reader: Reader | None = None
        self._ends: dict[Partition, int] = {}

    async def reason(self) -> str | None:
        """Return None once the group has handled all records that there were at the first call."""
        try:
            if self._reader is None:
                self._reader = await open_reader(self._bootstrap)
                self._ends = await self._at(self._reader, "end")
            # What retention has deleted since is waited for no more.
            begins = await self._at(self._reader, "beginning")
            done = await committed(self._bootstrap, self._group)
        except BrokerError as error:
            return f"no offsets from {self._bootstrap} ({error})"
        behind = sum(max(0, end - max(begins[p], done.get(p, 0))) for p, end in self._ends.items())
        return f"{behind} records are not indexed yet" if behind else None

    async def close(self) -> None:
        """Close the connection."""
        if self._reader is not None:
            await self._reader.close()

    async def _at(self, reader: Reader, start: Start) -> dict[Partition, int]:
        await reader.read(dict.fromkeys(self._partitions, start))
        return {partition: reader.position(partition) for partition in self._partitions}


def index_id(directory: Path) -> str:
    """Return what tells the index in `directory` from any that was there before it.

    Committed offsets say what is in an index only as long as it is the same one: a new index has a new id,
    and with it a consumer group that begins at the beginning. Indexes older than these ids have the id "".
    """
    file = directory.with_name(f"{directory.name}.id")
    if not directory.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(token_hex(4), encoding="ascii")
    return file.read_text(encoding="ascii").strip() if file.exists() else ""

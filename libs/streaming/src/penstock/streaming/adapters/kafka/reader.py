"""Chosen partitions, read without a group (port: Reader)."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import kafka

from penstock.streaming.adapters.kafka.client import CONNECT_MS, Thread, reading, records_of
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import BrokerError, Partition, Record, Since, Start


class KafkaReader:
    """Reads chosen partitions without a group (port: Reader)."""

    def __init__(self, client: Any, thread: Thread) -> None:
        self._client = client
        self._thread = thread
        self._positions: dict[Partition, int] = {}

    async def poll(self, wait: float) -> Sequence[Record]:
        if not self._positions:
            await asyncio.sleep(wait)
            return []
        records = records_of(await self._thread.call(self._client.poll, timeout_ms=int(wait * 1000)))
        for record in records:
            if record.partition in self._positions:
                self._positions[record.partition] = record.offset + 1
        return [record for record in records if record.partition in self._positions]

    async def read(self, starts: Mapping[Partition, Start]) -> None:
        self._positions |= await self._thread.call(self._read, starts)

    def _read(self, starts: Mapping[Partition, Start]) -> dict[Partition, int]:
        chosen = {kafka.TopicPartition(*partition): start for partition, start in starts.items()}
        self._client.assign([*(self._client.assignment() | chosen.keys())])
        since = {tp: start.ms for tp, start in chosen.items() if isinstance(start, Since)}
        found = self._client.offsets_for_times(since, timeout_ms=CONNECT_MS) if since else {}
        for tp, start in chosen.items():
            if isinstance(start, Since):
                self._seek(tp, found[tp].offset if found.get(tp) else "end")
            else:
                self._seek(tp, start)
        return {Partition(tp.topic, tp.partition): self._position(tp) for tp in chosen}

    def _position(self, tp: Any) -> int:
        position: int | None = self._client.position(tp, timeout_ms=CONNECT_MS)
        if position is None:
            raise BrokerError(f"no place in {tp.topic}/{tp.partition} was told within {CONNECT_MS} ms")
        return position

    def _seek(self, tp: Any, start: int | Literal["beginning", "end"]) -> None:
        if start == "beginning":
            self._client.seek_to_beginning(tp)
        elif start == "end":
            self._client.seek_to_end(tp)
        else:
            self._client.seek(tp, start)

    async def leave(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)
        await self._thread.call(self._leave, {kafka.TopicPartition(*p) for p in partitions})

    def _leave(self, gone: set[Any]) -> None:
        self._client.assign([tp for tp in self._client.assignment() if tp not in gone])

    def position(self, partition: Partition) -> int:
        return self._positions[partition]

    async def close(self) -> None:
        await self._thread.call(self._client.close, autocommit=False, timeout_ms=CONNECT_MS)
        self._thread.end()


async def open_reader(
    cluster: Cluster, partitions: Collection[Partition] = (), start: Start = "end", ahead: int | None = None
) -> KafkaReader:
    """Read `partitions` from `start`, which is fixed on return. Raises BrokerError if no broker answers.

    `ahead` is about how many bytes of each partition are fetched at once, for who needs only a few records.
    """
    thread = Thread("kafka-reader")
    few = {} if ahead is None else {"max_partition_fetch_bytes": ahead}

    def connect() -> Any:
        return kafka.KafkaConsumer(**reading(cluster, "reader"), **few, auto_offset_reset="earliest")

    reader = KafkaReader(await thread.call(connect), thread)
    if partitions:
        try:
            await reader.read(dict.fromkeys(partitions, start))
        except BrokerError:
            await reader.close()
            raise
    return reader

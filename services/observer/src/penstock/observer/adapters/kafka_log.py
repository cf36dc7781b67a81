"""The log in Kafka (port: Log)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.messages.flows import FLOWS
from penstock.streaming.adapters.kafka import open_producer, open_reader, partition_of
from penstock.streaming.admin.dead_letters import DeadLetters
from penstock.streaming.admin.overview import open_overview
from penstock.streaming.admin.topics import delete_before
from penstock.streaming.clock import unix_ms
from penstock.streaming.connection import Cluster, by_kafka_python
from penstock.streaming.ports import Overview, Reader
from penstock.streaming.worker import topics_awaited


class KafkaLog:
    """The log of this cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = by_kafka_python(cluster)

    async def missing(self) -> str | None:
        return await topics_awaited(self._cluster, FLOWS["observer"])

    async def reader(self, ahead: int | None = None) -> Reader:
        return await open_reader(self._cluster, ahead=ahead)

    async def overview(self) -> Overview:
        return await open_overview(self._cluster)

    def partition_of(self, key: bytes, partitions: int) -> int:
        return partition_of(key, partitions)

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator[DeadLetters]:
        reader = await open_reader(self._cluster)
        try:
            producer = await open_producer(self._cluster)
            try:
                yield DeadLetters(reader, producer, lambda cuts: delete_before(self._cluster, cuts), unix_ms)
            finally:
                await producer.close()
        finally:
            await reader.close()

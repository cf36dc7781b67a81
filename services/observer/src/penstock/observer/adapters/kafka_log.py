"""The log in Kafka (port: Log)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.streaming.adapters.kafka import open_producer, open_reader, partition_of
from penstock.streaming.adapters.kafka.overview import open_overview
from penstock.streaming.admin import delete_before, missing_topics
from penstock.streaming.clock import unix_ms
from penstock.streaming.deadletters import DeadLetters
from penstock.streaming.ports import BrokerError, Overview, Reader


class KafkaLog:
    """The log behind these bootstrap servers."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    async def missing(self) -> str | None:
        try:
            topics = await missing_topics(self._bootstrap)
        except BrokerError as error:
            return f"no broker answers at {self._bootstrap} ({error})"
        return f"{self._bootstrap} has no {', '.join(topics)}" if topics else None

    async def reader(self, ahead: int | None = None) -> Reader:
        return await open_reader(self._bootstrap, ahead=ahead)

    async def overview(self) -> Overview:
        return await open_overview(self._bootstrap)

    def partition_of(self, key: bytes, partitions: int) -> int:
        return partition_of(key, partitions)

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator[DeadLetters]:
        reader = await open_reader(self._bootstrap)
        try:
            producer = await open_producer(self._bootstrap)
            try:
                yield DeadLetters(
                    reader, producer, lambda cuts: delete_before(self._bootstrap, cuts), unix_ms
                )
            finally:
                await producer.close()
        finally:
            await reader.close()

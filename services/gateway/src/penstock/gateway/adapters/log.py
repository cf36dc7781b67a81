"""The log in Kafka (port: Log)."""

from penstock.messages.topics import CHAT_REQUESTS, CHAT_RESPONSES
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.admin import missing_topics
from penstock.streaming.ports import Partition, Producer, Reader


class KafkaLog:
    """A Kafka cluster, by its bootstrap servers."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self.name = bootstrap

    async def missing_topics(self) -> list[str]:
        return await missing_topics(self._bootstrap)

    async def open_producer(self) -> Producer:
        return await open_producer(self._bootstrap, [CHAT_REQUESTS.name])

    async def open_reader(self, partition: int) -> Reader:
        return await open_reader(self._bootstrap, [Partition(CHAT_RESPONSES.name, partition)], "end")

"""The log in Kafka (port: Log)."""

from uuid import uuid4

from penstock.messages.chat import GatewayStarted
from penstock.messages.envelope import Envelope
from penstock.messages.flows import FLOWS
from penstock.messages.topics import CHAT_CANCELLATIONS, CHAT_REQUESTS
from penstock.streaming import records
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.admin import missing_topics
from penstock.streaming.clock import BrokerClock
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import Producer, Reader


class KafkaLog:
    """A Kafka cluster, by how it is reached; its acknowledgements set the `clock`."""

    def __init__(self, cluster: Cluster, instance: str, clock: BrokerClock) -> None:
        self._cluster = cluster
        self._instance = instance
        self._clock = clock
        self.name = str(cluster)

    async def missing_topics(self) -> list[str]:
        return await missing_topics(self._cluster, FLOWS["gateway"].names)

    async def open_producer(self) -> Producer:
        topics = [CHAT_REQUESTS.name, CHAT_CANCELLATIONS.name]
        producer = await open_producer(self._cluster, topics, self._clock)
        # The first request's deadline must already go by the broker's clock, which a write tells.
        await records.send(producer, CHAT_CANCELLATIONS, self._envelope(), GatewayStarted())
        return producer

    async def open_reader(self) -> Reader:
        return await open_reader(self._cluster)

    def _envelope(self) -> Envelope:
        return Envelope(
            id=uuid4().hex,
            type=GatewayStarted.TYPE,
            source="/penstock/gateway",
            time_ms=self._clock(),
            subject=self._instance,
            tenant="penstock",
        )

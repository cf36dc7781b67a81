"""The log at a broker (port: Log)."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from penstock.messages.chat import GatewayStarted
from penstock.messages.envelope import Envelope
from penstock.messages.flows import FLOWS
from penstock.messages.topics import CHAT_CANCELLATIONS, CHAT_REQUESTS
from penstock.streaming import records
from penstock.streaming.adapters.kafka import KafkaBroker
from penstock.streaming.adapters.kafka.cluster import missing_topics
from penstock.streaming.clock import BrokerClock
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import Broker, Producer, Reader


class BrokerLog:
    """The log for a gateway of this name; the broker's acknowledgements set the `clock`.

    `missing` tells which topics do not stand yet, or raises BrokerError.
    """

    def __init__(
        self,
        name: str,
        broker: Broker,
        missing: Callable[[], Awaitable[list[str]]],
        instance: str,
        clock: BrokerClock,
    ) -> None:
        self.name = name
        self._broker = broker
        self._missing = missing
        self._instance = instance
        self._clock = clock

    async def missing_topics(self) -> list[str]:
        return await self._missing()

    async def open_producer(self) -> Producer:
        topics = [CHAT_REQUESTS.name, CHAT_CANCELLATIONS.name]
        producer = await self._broker.open_producer(topics, self._clock)
        # The first request's deadline must already go by the broker's clock, which a write tells.
        await records.send(producer, CHAT_CANCELLATIONS, self._envelope(), GatewayStarted())
        return producer

    async def open_reader(self) -> Reader:
        return await self._broker.open_reader()

    def _envelope(self) -> Envelope:
        return Envelope(
            id=uuid4().hex,
            type=GatewayStarted.TYPE,
            source="/penstock/gateway",
            time_ms=self._clock(),
            subject=self._instance,
            tenant="penstock",
        )


def kafka_log(cluster: Cluster, instance: str, clock: BrokerClock) -> BrokerLog:
    """Return the log in Kafka."""
    topics = FLOWS["gateway"].names
    return BrokerLog(
        str(cluster), KafkaBroker(cluster), lambda: missing_topics(cluster, topics), instance, clock
    )

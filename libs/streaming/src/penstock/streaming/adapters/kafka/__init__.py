"""Kafka behind the ports, by the client that the connection names.

librdkafka's adapter stands beside this package. The one here is kafka-python's (3.x: each client runs an I/O
thread of its own): a consumer is not thread-safe, so each lives in a thread of its own, where its calls queue
up; the producer is, and its `send` only blocks on unknown metadata, which is fetched before the first one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import ModuleType

from penstock.streaming.adapters.kafka import consumer as _consumer
from penstock.streaming.adapters.kafka import producer as _producer
from penstock.streaming.adapters.kafka import reader as _reader
from penstock.streaming.adapters.kafka.producer import MAX_RECORD_BYTES, partition_of
from penstock.streaming.clock import BrokerClock
from penstock.streaming.connection import KAFKA_PYTHON, Cluster, as_connection
from penstock.streaming.ports import Committable, Consumer, Partition, Producer, Reader, Start

__all__ = [
    "MAX_RECORD_BYTES",
    "KafkaBroker",
    "open_consumer",
    "open_producer",
    "open_reader",
    "partition_of",
]


async def open_consumer(
    cluster: Cluster,
    group: str,
    topics: Sequence[str],
    committable: Committable,
    session_timeout_ms: int = 10_000,
) -> Consumer:
    """Join a group that reads `topics` from their beginning. Raises BrokerError if no broker answers."""
    opening = _by_librdkafka(cluster) or _consumer
    opened: Consumer = await opening.open_consumer(cluster, group, topics, committable, session_timeout_ms)
    return opened


async def open_producer(
    cluster: Cluster, topics: Sequence[str] = (), clock: BrokerClock | None = None
) -> Producer:
    """Connect, and fetch the metadata of `topics`. Acknowledgements set the `clock`.

    Raises BrokerError if no broker answers.
    """
    opening = _by_librdkafka(cluster) or _producer
    opened: Producer = await opening.open_producer(cluster, topics, clock)
    return opened


async def open_reader(
    cluster: Cluster, partitions: Collection[Partition] = (), start: Start = "end", ahead: int | None = None
) -> Reader:
    """Read `partitions` from `start`, which is fixed on return. Raises BrokerError if no broker answers.

    `ahead` is about how many bytes of each partition are fetched at once, for who needs only a few records.
    """
    opening = _by_librdkafka(cluster) or _reader
    opened: Reader = await opening.open_reader(cluster, partitions, start, ahead)
    return opened


@dataclass(frozen=True, slots=True)
class KafkaBroker:
    """Port: Broker."""

    cluster: Cluster

    async def open_producer(self, topics: Sequence[str], clock: BrokerClock) -> Producer:
        return await open_producer(self.cluster, topics, clock)

    async def open_consumer(
        self, group: str, topics: Sequence[str], committable: Committable, session_timeout_ms: int
    ) -> Consumer:
        return await open_consumer(self.cluster, group, topics, committable, session_timeout_ms)

    async def open_reader(self, partitions: Collection[Partition] = (), start: Start = "end") -> Reader:
        return await open_reader(self.cluster, partitions, start)


def _by_librdkafka(cluster: Cluster) -> ModuleType | None:
    if as_connection(cluster).client == KAFKA_PYTHON:
        return None
    # Not before: where there is no wheel of it, kafka-python does without.
    from penstock.streaming.adapters import librdkafka

    return librdkafka

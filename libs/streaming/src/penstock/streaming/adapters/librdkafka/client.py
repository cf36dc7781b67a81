"""What all clients by librdkafka share: connection settings, its log as ours, errors and records as ours."""

import logging
import re
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, Message, TopicPartition

from penstock.streaming.adapters.kafka.knock import knock
from penstock.streaming.adapters.notes import closed
from penstock.streaming.connection import Cluster, KafkaConnection, as_connection
from penstock.streaming.ports import BrokerError, Partition, Position, Record, RecordTooLarge, Refused

CONNECT_S = 5.0
FETCH_BYTES = 8 << 20
_FETCH_WAIT_MS = 500
_QUEUED_KIB = 8 << 10
_QUEUED_RECORDS = 1_000
"""Of all partitions together: what is fetched ahead is fetched again after a pause."""
_QUEUE_LOOK_MS = 20
"""When so many are queued, more are fetched at the first look after there are fewer (else in a second)."""
_LONGEST = 200
SAID_AGAIN_S = 10.0
_KINDS = 64
_NUMBER = re.compile(r"\d+")
_UNAUTHORIZED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_UNKNOWN = frozenset(
    {KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART}
)
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})
_AUTHENTICATION = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
log = structlog.get_logger()


class LibraryLog:
    """Takes what librdkafka logs; what it calls an error (a broker that is away) is one to be warned of.

    The same but for its numbers is said once in `SAID_AGAIN_S`: a broker that is away is tried 20 times a
    second. `now` gives seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._said: dict[tuple[str, str], float] = {}

    def log(self, level: int, _format: str, facility: str, client: str, text: str) -> None:
        kind, now = (client, _NUMBER.sub("", text)), self._now()
        if now - self._said.get(kind, now - SAID_AGAIN_S) < SAID_AGAIN_S:
            return
        self._said[kind] = now
        while len(self._said) > _KINDS:
            del self._said[next(iter(self._said))]
        log.log(
            logging.WARNING if level >= logging.ERROR else logging.INFO,
            "librdkafka",
            facility=facility,
            client=client,
            text=text[:_LONGEST],
        )


def connecting(cluster: Cluster, client_id: str) -> dict[str, Any]:
    """Return the settings of every client; blocks while it knocks. Raises BrokerError."""
    knock(cluster)
    return _speaking(as_connection(cluster)) | {
        "client.id": client_id,
        "logger": LibraryLog(),
        "log.connection.close": False,
        "allow.auto.create.topics": False,
        "enable.metrics.push": False,
        "reconnect.backoff.max.ms": 1_000,
        "socket.nagle.disable": True,
        "socket.timeout.ms": 10_000,
    }


def _speaking(connection: KafkaConnection) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "bootstrap.servers": connection.servers,
        "security.protocol": connection.protocol,
    }
    ca = connection.ca or ssl.get_default_verify_paths().cafile  # else it looks in the usual places
    if connection.tls and ca is not None:
        settings["ssl.ca.location"] = str(ca)
    if connection.sasl:
        settings |= {
            "sasl.mechanism": connection.mechanism,
            "sasl.username": connection.user,
            "sasl.password": connection.password.get_secret_value(),
        }
    return settings


def reading(cluster: Cluster, client_id: str) -> dict[str, Any]:
    """Return the settings of every client that reads, as `connecting`."""
    return connecting(cluster, client_id) | {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_uncommitted",
        "check.crcs": True,
        "fetch.wait.max.ms": _FETCH_WAIT_MS,
        "fetch.max.bytes": FETCH_BYTES,
        "queued.max.messages.kbytes": _QUEUED_KIB,
        "queued.min.messages": _QUEUED_RECORDS,
        "fetch.queue.backoff.ms": _QUEUE_LOOK_MS,
    }


def as_broker_error(error: KafkaError | KafkaException) -> BrokerError:
    """Return an error of the client as one of ours."""
    reason = error.args[0] if isinstance(error, KafkaException) else error
    if not isinstance(reason, KafkaError):
        return BrokerError(str(reason)[:_LONGEST])
    told = f"{reason.name()}: {reason.str()}"[:_LONGEST]
    if reason.code() in _AUTHENTICATION:
        return Refused(
            "the broker refuses the user: check PENSTOCK_KAFKA_USER, PENSTOCK_KAFKA_PASSWORD and"
            f" PENSTOCK_KAFKA_MECHANISM ({told})"
        )
    if reason.code() in _UNAUTHORIZED:
        return BrokerError(f"this user may not: see `penstock acl show` ({told})")
    if reason.code() in _UNKNOWN:
        return BrokerError(f"there is none, or this user may not see it: `penstock acl show` ({told})")
    return (RecordTooLarge if reason.code() in _TOO_LARGE else BrokerError)(told)


def is_final(error: KafkaError) -> bool:
    """Return whether a reading client will not get over an error by itself."""
    return error.fatal() or error.code() in _UNAUTHORIZED


def records_of(messages: Iterable[Message]) -> list[Record]:
    """Return what a poll brought as our records, without what are errors."""
    return [
        Record(
            Partition(message.topic(), message.partition()),  # type: ignore[arg-type]  # they are records
            message.offset(),  # type: ignore[arg-type]
            message.key(),
            message.value(),
            message.headers() or [],  # type: ignore[arg-type]
            message.timestamp()[1],
        )
        for message in messages
        if message.error() is None
    ]


def topic_partition(partition: Partition, offset: int = OFFSET_INVALID, note: str = "") -> TopicPartition:
    """Return a partition, and a place in it, as the library's."""
    return TopicPartition(partition.topic, partition.number, offset, note)


def partition_of(there: TopicPartition) -> Partition:
    """Return the library's as our own."""
    return Partition(there.topic, there.partition)


def committing(partition: Partition, position: Position) -> TopicPartition:
    """Return what is committed of a partition."""
    return topic_partition(partition, position.offset, closed(position.note))


def partition_count(client: Any, topic: str) -> int:
    """Return how many partitions a topic has, 0 if there is none; asks the cluster. Raises KafkaException."""
    return len(client.list_topics(topic, timeout=CONNECT_S).topics[topic].partitions)

"""Records written with acks=all, idempotently (port: Producer)."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any

import structlog
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message
from confluent_kafka import Producer as Client
from kafka.partitioner import murmur2

from penstock.messages.envelope import Headers
from penstock.streaming.adapters.kafka.producer import MAX_RECORD_BYTES
from penstock.streaming.adapters.librdkafka.client import (
    CONNECT_S,
    as_broker_error,
    connecting,
    partition_count,
)
from penstock.streaming.adapters.sending import MAX_PENDING_BYTES, Backlogged, size_of
from penstock.streaming.clock import BrokerClock
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import AcknowledgedOffset, BrokerError

DELIVERY_MS = 30_000
_LINGER_MS = 0
_QUEUED_KIB = 4 * MAX_PENDING_BYTES >> 10
_CLOSE_S = 10.0
_POLL_S = 0.19
"""A longer poll of the library's does not end when something is acknowledged."""
_REST_S = 5.0
_METADATA_S = 300.0
_HASHES = 4096
_HARMLESS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)
"""What the broker says of one record: others can be written after it."""
_ANY = -1
log = structlog.get_logger()
Acknowledged = tuple[asyncio.Future[int], int, str, int | KafkaError]


class LibrdkafkaProducer(Backlogged):
    """Writes records with acks=all, idempotently (port: Producer).

    Its thread polls for acknowledgements while there are some to come, and hands all that a poll brings to
    the event loop at once.
    """

    def __init__(self, clock: BrokerClock) -> None:
        super().__init__()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._bell = threading.Event()
        self._acknowledged: list[Acknowledged] = []
        self._counts: dict[str, int] = {}
        self._ended = False
        self._client: Client
        self._closed: asyncio.Future[None] = self._loop.create_future()

    async def open(self, connect: Callable[[], Client], topics: Sequence[str]) -> None:
        """Connect, and begin to poll. Raises BrokerError."""

        def opening() -> None:
            self._client = connect()
            self._counts = {topic: partition_count(self._client, topic) for topic in topics}

        try:
            await asyncio.to_thread(opening)
        except KafkaException as error:
            raise as_broker_error(error) from error
        threading.Thread(target=self._run, name="kafka-producer", daemon=True).start()

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | bytes | None = None,
    ) -> asyncio.Future[int]:
        done: asyncio.Future[int] = self._loop.create_future()
        size = size_of(key, value, headers)
        try:
            self._client.produce(
                topic,
                value,
                key,
                self._partition(topic, partition),
                partial(self._delivered, done, size, topic),
                headers=headers,  # type: ignore[arg-type]  # a list is asked for where a sequence would do
            )
        except (KafkaException, BufferError, RuntimeError) as error:
            self._refuse(done, topic, error)
            return done
        self._backlog.sent(topic, size)
        if self._backlog.records == 1:
            self._bell.set()
        return done

    async def close(self) -> None:
        if self._ended:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._backlog.empty()
        except TimeoutError:
            log.warning("records_given_up", records=self._backlog.records)
        self._ended = True
        self._bell.set()
        await self._closed
        self._backlog.close()

    def _partition(self, topic: str, partition: int | bytes | None) -> int:
        if isinstance(partition, bytes):
            if topic not in self._counts:
                self._counts[topic] = partition_count(self._client, topic)
            return _hash(partition) % max(1, self._counts[topic])
        return _ANY if partition is None else partition

    def _refuse(self, done: asyncio.Future[int], topic: str, error: Exception) -> None:
        self._backlog.refused(topic, _name(error))
        if isinstance(error, KafkaException):
            if error.args[0].fatal():
                self._backlog.give_up()
            done.set_exception(as_broker_error(error))
        else:
            done.set_exception(BrokerError(f"{topic}: not taken: {error}"))

    def _settle(self, acknowledged: list[Acknowledged]) -> None:
        for done, size, topic, outcome in acknowledged:
            self._backlog.settled(size)
            if isinstance(outcome, KafkaError):
                self._backlog.lost(topic, outcome.name())
                if outcome.code() not in _HARMLESS:
                    self._backlog.give_up()
                if not done.done():
                    done.set_exception(as_broker_error(outcome))
            elif not done.done():
                done.set_result(outcome)

    # From here on in the thread that polls.

    def _run(self) -> None:
        next_look = time.monotonic() + _METADATA_S
        while not self._ended:
            self._bell.clear()
            if not self._backlog.records and self._bell.wait(_REST_S):
                continue
            self._poll(_POLL_S if self._backlog.records else 0)
            if time.monotonic() > next_look:
                next_look = time.monotonic() + _METADATA_S
                self._learn_counts()
        self._client.purge()
        self._poll(0)
        self._client.close()
        self._tell(self._closed.set_result, None)

    def _poll(self, wait: float) -> None:
        try:
            self._client.poll(wait)
        except KafkaException as error:  # fatal ones are raised here; sending fails from now on
            log.error("producer_failed", error=str(error))
            self._tell(lambda _: self._backlog.give_up(), None)
        if self._acknowledged:
            acknowledged, self._acknowledged = self._acknowledged, []
            self._tell(self._settle, acknowledged)

    def _delivered(
        self,
        done: asyncio.Future[int],
        size: int,
        topic: str,
        error: KafkaError | None,
        message: Message,
    ) -> None:
        if error is not None:
            self._acknowledged.append((done, size, topic, error))
            return
        kind, stamp = message.timestamp()
        if kind == TIMESTAMP_LOG_APPEND_TIME:
            self._clock.acknowledged(stamp)
        written = AcknowledgedOffset(message.offset(), message.partition())  # type: ignore[arg-type]  # it has both
        self._acknowledged.append((done, size, topic, written))

    def _learn_counts(self) -> None:
        """Topics may get more partitions; a key that the library hashes goes by the new number as soon."""
        try:
            self._counts = {topic: partition_count(self._client, topic) for topic in self._counts}
        except KafkaException as error:
            log.info("partition_counts_unknown", error=str(error))

    def _tell(self, function: Callable[[Any], object], value: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function, value)


@lru_cache(_HASHES)
def _hash(key: bytes) -> int:
    return int(murmur2(key) & 0x7FFFFFFF)


def _name(error: Exception) -> str:
    return str(error.args[0].name()) if isinstance(error, KafkaException) else type(error).__name__


async def open_producer(
    cluster: Cluster, topics: Sequence[str] = (), clock: BrokerClock | None = None
) -> LibrdkafkaProducer:
    """Connect, and fetch the metadata of `topics`. Acknowledgements set the `clock`.

    Raises BrokerError if no broker answers.
    """
    producer = LibrdkafkaProducer(clock or BrokerClock())

    def connect() -> Client:
        return Client(
            connecting(cluster, "producer")
            | {
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": _LINGER_MS,
                "delivery.timeout.ms": DELIVERY_MS,
                "request.timeout.ms": DELIVERY_MS // 2,
                "topic.metadata.propagation.max.ms": int(CONNECT_S * 1000),
                "message.max.bytes": MAX_RECORD_BYTES,
                "queue.buffering.max.kbytes": _QUEUED_KIB,
                "queue.buffering.max.messages": 500_000,
            }
        )

    await producer.open(connect, topics)
    return producer

"""Records written with acks=all, idempotently (port: Producer)."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import kafka
from kafka import errors
from kafka.partitioner import murmur2

from penstock.messages.envelope import Headers
from penstock.streaming.adapters.kafka.client import CONNECT_MS, Thread, as_broker_error, connecting
from penstock.streaming.clock import BrokerClock
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import BrokerError, Written
from penstock.telemetry import names
from penstock.telemetry import stage_metrics as metrics
from penstock.telemetry.meters import Attributes, watched

MAX_RECORD_BYTES = 4 << 20
MAX_PENDING_BYTES = 16 << 20
_DELIVERY_MS = 30_000
_CLOSE_S = 10.0


class KafkaRecordProducer:
    """Writes records with acks=all, idempotently (port: Producer)."""

    def __init__(
        self, client: Any, thread: Thread, loop: asyncio.AbstractEventLoop, clock: BrokerClock
    ) -> None:
        self._client = client
        self._thread = thread
        self._loop = loop
        self._clock = clock
        self._pending_bytes = 0
        self._broken = False
        self._room = asyncio.Event()
        self._room.set()
        self._acks: deque[tuple[asyncio.Future[int], int, int | BaseException]] = deque()
        self._settling = False
        self._sent: Counter[str] = Counter()
        self._failed: Counter[tuple[str, str]] = Counter()
        self._told = ExitStack()
        self._told.enter_context(
            watched({metrics.SENT: self._tell, metrics.PENDING: lambda: [(self._pending_bytes, {})]})
        )

    @property
    def broken(self) -> bool:
        # kafka-python 3.0.12: a batch that was sent and then given up (`delivery_timeout_ms`) costs it its
        # producer id, and it asks for no other, since its state stays READY: from then on nothing is
        # written, and there is no error. Other failures leave it in a state in which each send fails.
        return self._broken

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | bytes | None = None,
    ) -> asyncio.Future[int]:
        done: asyncio.Future[int] = self._loop.create_future()
        size = len(key or b"") + len(value or b"") + sum(len(k) + len(v) for k, v in headers)
        try:
            if isinstance(partition, bytes):
                partition = partition_of(partition, len(self._client.partitions_for(topic)))
            handle = self._client.send(topic, key=key, value=value, headers=headers, partition=partition)
        except errors.KafkaError as error:
            self._failed[topic, type(error).__name__] += 1
            self._broken |= type(error) is errors.KafkaError  # "a previous request has failed"
            done.set_exception(as_broker_error(error))
            return done
        self._sent[topic] += 1
        self._pending_bytes += size
        if self._pending_bytes > MAX_PENDING_BYTES:
            self._room.clear()
        handle.add_callback(lambda written: self._written(done, size, written))
        handle.add_errback(lambda error: self._lost(done, size, topic, error))
        return done

    def _written(self, done: asyncio.Future[int], size: int, written: Any) -> None:
        self._clock.acknowledged(written.timestamp)
        self._acknowledge(done, size, Written(written.offset, written.partition))

    def _lost(self, done: asyncio.Future[int], size: int, topic: str, error: BaseException) -> None:
        # A record that the broker finds too large is refused alone: those after it are written.
        self._broken |= not isinstance(error, errors.MessageSizeTooLargeError)
        self._sent[topic] -= 1
        self._failed[topic, type(error).__name__] += 1
        self._acknowledge(done, size, error)

    def _acknowledge(self, done: asyncio.Future[int], size: int, outcome: int | BaseException) -> None:
        """Runs in the I/O thread: wakes the event loop once for many acknowledgements."""
        self._acks.append((done, size, outcome))
        if not self._settling and not self._loop.is_closed():
            self._settling = True
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        # Before the queue is looked at: what is appended from here on wakes the loop again.
        self._settling = False
        while self._acks:
            done, size, outcome = self._acks.popleft()
            self._pending_bytes -= size
            if done.done():
                continue
            if isinstance(outcome, int):
                done.set_result(outcome)
            else:
                done.set_exception(as_broker_error(outcome))
        if self._pending_bytes <= MAX_PENDING_BYTES or self._broken:
            self._room.set()

    @property
    def is_full(self) -> bool:
        return not self._room.is_set()

    async def room(self) -> None:
        await self._room.wait()
        if self._broken:
            raise BrokerError("the producer has given up a record, and may write none any more")

    async def close(self) -> None:
        await self._thread.call(self._client.close, timeout=_CLOSE_S)
        self._thread.end()
        self._told.close()

    def _tell(self) -> Iterator[tuple[float, Attributes]]:
        for topic, count in self._sent.copy().items():
            yield count, _sending(topic)
        for (topic, error), count in self._failed.copy().items():
            yield count, {**_sending(topic), names.ERROR_TYPE: error}


async def open_producer(
    cluster: Cluster, topics: Sequence[str] = (), clock: BrokerClock | None = None
) -> KafkaRecordProducer:
    """Connect, and fetch the metadata of `topics`. Acknowledgements set the `clock`.

    Raises BrokerError if no broker answers.
    """
    thread = Thread("kafka-producer")

    def connect() -> Any:
        client = kafka.KafkaProducer(
            **connecting(cluster, "producer"),
            acks="all",
            enable_idempotence=True,
            delivery_timeout_ms=_DELIVERY_MS,
            request_timeout_ms=_DELIVERY_MS // 2,
            max_block_ms=CONNECT_MS,
            max_request_size=MAX_RECORD_BYTES,
        )
        for topic in topics:
            client.partitions_for(topic)
        return client

    return KafkaRecordProducer(
        await thread.call(connect), thread, asyncio.get_running_loop(), clock or BrokerClock()
    )


def _sending(topic: str) -> Attributes:
    return {
        names.MESSAGING_SYSTEM: "kafka",
        names.MESSAGING_OPERATION_NAME: "send",
        names.MESSAGING_DESTINATION: topic,
    }


def partition_of(key: bytes, partitions: int) -> int:
    """Return to which of so many partitions the producer sends a key: murmur2, as all of Kafka's clients."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions

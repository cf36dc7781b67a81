"""Records written with acks=all, idempotently (port: Producer)."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import kafka
from kafka import errors
from kafka.partitioner import murmur2

from penstock.messages.envelope import Headers
from penstock.streaming.adapters.kafka.client import CONNECT_MS, Thread, as_broker_error, connecting
from penstock.streaming.adapters.sending import Backlogged, size_of
from penstock.streaming.clock import BrokerClock
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import AcknowledgedOffset

MAX_RECORD_BYTES = 4 << 20
_DELIVERY_MS = 30_000
_CLOSE_S = 10.0
_Acknowledged = tuple[asyncio.Future[int], int, str, int | BaseException]


class KafkaRecordProducer(Backlogged):
    """Writes records with acks=all, idempotently (port: Producer).

    kafka-python 3.0.12: a batch that was sent and then given up (`delivery_timeout_ms`) costs it its producer
    id, and it asks for no other, since its state stays READY: from then on nothing is written, and there is
    no error. Other failures leave it in a state in which each send fails. So it counts as broken then.
    """

    def __init__(
        self, client: Any, thread: Thread, loop: asyncio.AbstractEventLoop, clock: BrokerClock
    ) -> None:
        super().__init__()
        self._client = client
        self._thread = thread
        self._loop = loop
        self._clock = clock
        self._acks: deque[_Acknowledged] = deque()
        self._settling = False

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
            if isinstance(partition, bytes):
                partition = partition_of(partition, len(self._client.partitions_for(topic)))
            handle = self._client.send(topic, key=key, value=value, headers=headers, partition=partition)
        except errors.KafkaError as error:
            self._backlog.refused(topic, type(error).__name__)
            if type(error) is errors.KafkaError:  # "a previous request has failed"
                self._backlog.give_up()
            done.set_exception(as_broker_error(error))
            return done
        self._backlog.sent(topic, size)
        handle.add_callback(lambda written: self._written(done, size, topic, written))
        handle.add_errback(lambda error: self._acknowledge(done, size, topic, error))
        return done

    def _written(self, done: asyncio.Future[int], size: int, topic: str, written: Any) -> None:
        self._clock.acknowledged(written.timestamp)
        self._acknowledge(done, size, topic, AcknowledgedOffset(written.offset, written.partition))

    def _acknowledge(
        self, done: asyncio.Future[int], size: int, topic: str, outcome: int | BaseException
    ) -> None:
        """Runs in the I/O thread: wakes the event loop once for many acknowledgements."""
        self._acks.append((done, size, topic, outcome))
        if not self._settling and not self._loop.is_closed():
            self._settling = True
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        # Before the queue is looked at: what is appended from here on wakes the loop again.
        self._settling = False
        while self._acks:
            done, size, topic, outcome = self._acks.popleft()
            self._backlog.settled(size)
            if not isinstance(outcome, int):
                self._lost(topic, outcome)
                if not done.done():
                    done.set_exception(as_broker_error(outcome))
            elif not done.done():
                done.set_result(outcome)

    def _lost(self, topic: str, error: BaseException) -> None:
        self._backlog.lost(topic, type(error).__name__)
        # A record that the broker finds too large is refused alone: those after it are written.
        if not isinstance(error, errors.MessageSizeTooLargeError):
            self._backlog.give_up()

    async def close(self) -> None:
        await self._thread.call(self._client.close, timeout=_CLOSE_S)
        self._thread.end()
        self._backlog.close()


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


def partition_of(key: bytes, partitions: int) -> int:
    """Return to which of so many partitions the producer sends a key: murmur2, as all of Kafka's clients."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions

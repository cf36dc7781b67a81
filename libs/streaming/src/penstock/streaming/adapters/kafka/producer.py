"""Records written with acks=all, idempotently (port: Producer)."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import kafka
from kafka import errors

from penstock.messages.envelope import Headers
from penstock.streaming.adapters.kafka.client import CONNECT_MS, Thread, as_broker_error, connecting
from penstock.streaming.clock import BrokerClock

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
        self._room = asyncio.Event()
        self._room.set()
        self._acks: deque[tuple[asyncio.Future[int], int, int | BaseException]] = deque()

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> asyncio.Future[int]:
        done: asyncio.Future[int] = self._loop.create_future()
        size = len(key or b"") + len(value or b"") + sum(len(k) + len(v) for k, v in headers)
        try:
            handle = self._client.send(topic, key=key, value=value, headers=headers, partition=partition)
        except errors.KafkaError as error:
            done.set_exception(as_broker_error(error))
            return done
        self._pending_bytes += size
        if self._pending_bytes > MAX_PENDING_BYTES:
            self._room.clear()
        handle.add_callback(lambda written: self._written(done, size, written))
        handle.add_errback(lambda error: self._acknowledge(done, size, error))
        return done

    def _written(self, done: asyncio.Future[int], size: int, written: Any) -> None:
        self._clock.acknowledged(written.timestamp)
        self._acknowledge(done, size, written.offset)

    def _acknowledge(self, done: asyncio.Future[int], size: int, outcome: int | BaseException) -> None:
        """Runs in the I/O thread: wakes the event loop once for many acknowledgements."""
        first = not self._acks
        self._acks.append((done, size, outcome))
        if first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        while self._acks:
            done, size, outcome = self._acks.popleft()
            self._pending_bytes -= size
            if done.done():
                continue
            if isinstance(outcome, int):
                done.set_result(outcome)
            else:
                done.set_exception(as_broker_error(outcome))
        if self._pending_bytes <= MAX_PENDING_BYTES:
            self._room.set()

    async def room(self) -> None:
        await self._room.wait()

    async def close(self) -> None:
        await self._thread.call(self._client.close, timeout=_CLOSE_S)
        self._thread.end()


async def open_producer(
    bootstrap: str, topics: Sequence[str] = (), clock: BrokerClock | None = None
) -> KafkaRecordProducer:
    """Connect, and fetch the metadata of `topics`. Acknowledgements set the `clock`.

    Raises BrokerError if no broker answers.
    """
    thread = Thread("kafka-producer")

    def connect() -> Any:
        client = kafka.KafkaProducer(
            **connecting(bootstrap, "producer"),
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

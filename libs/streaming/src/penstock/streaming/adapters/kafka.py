"""Kafka behind the ports, by kafka-python (3.x: each client runs an I/O thread of its own).

A consumer is not thread-safe, so each lives in a thread of its own, where its calls queue up; the producer
is, and its `send` only blocks on unknown metadata, which is fetched before the first one.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import kafka
import structlog
from kafka import errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.base import MemberState

from penstock.messages.envelope import Headers
from penstock.streaming.ports import (
    BrokerError,
    Committable,
    Partition,
    Polled,
    Record,
    RecordTooLarge,
)

MAX_RECORD_BYTES = 4 << 20
MAX_PENDING_BYTES = 16 << 20
_CONNECT_MS = 5_000
_DELIVERY_MS = 30_000
_FETCH_BYTES = 8 << 20
_CLOSE_S = 10.0
_JOIN_MS = 2_000
T = TypeVar("T")
log = structlog.get_logger()


class _Thread:
    """Runs the calls to one client, one after the other, in one thread, with its errors as BrokerError."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def call(self, function: Callable[..., T], *args: object, **kwargs: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, lambda: function(*args, **kwargs)
            )
        except errors.KafkaError as error:
            raise BrokerError(f"{type(error).__name__}: {error}") from error

    def end(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Rebalance(kafka.AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Commits what is done before partitions go, and notes that they went. Runs in the I/O thread."""

    def __init__(self, committable: Committable) -> None:
        self._committable = committable
        self._lock = threading.Lock()
        self._revoked: set[Partition] = set()
        self.consumer: Any = None

    async def on_partitions_revoked(self, revoked: Sequence[Any]) -> None:
        offsets = {
            tp: kafka.OffsetAndMetadata(offset, "", -1)
            for tp in revoked
            if (offset := self._committable(Partition(tp.topic, tp.partition))) is not None
        }
        self._note(revoked)
        if offsets:
            try:
                await self.consumer.commit_async(offsets)
            except errors.KafkaError as error:  # the next owner repeats what is not committed
                log.info("commit_before_revocation_failed", error=type(error).__name__)

    async def on_partitions_lost(self, lost: Sequence[Any]) -> None:
        self._note(lost)

    async def on_partitions_assigned(self, assigned: Sequence[Any]) -> None:
        """Nothing to do: new partitions are known by their records."""

    def _note(self, gone: Sequence[Any]) -> None:
        with self._lock:
            self._revoked |= {Partition(tp.topic, tp.partition) for tp in gone}

    def take_revoked(self) -> frozenset[Partition]:
        with self._lock:
            revoked, self._revoked = frozenset(self._revoked), set()
        return revoked


class KafkaGroupConsumer:
    """A member of a consumer group (port: Consumer)."""

    def __init__(self, client: Any, thread: _Thread, rebalance: _Rebalance) -> None:
        self._client = client
        self._thread = thread
        self._rebalance = rebalance
        self._paused = False

    @property
    def joined(self) -> bool:
        return self._is_stable()

    async def poll(self, wait: float) -> Polled:
        return await self._thread.call(self._poll, wait)

    def _poll(self, wait: float) -> Polled:
        if self._paused:
            self._client.pause(*self._client.assignment())
        # A poll that ends amid a join makes the next one begin it anew; short polls might never get in.
        wait_ms = int(wait * 1000) if self._is_stable() else _JOIN_MS
        polled = self._client.poll(timeout_ms=wait_ms)
        return Polled(_records(polled), self._rebalance.take_revoked())

    def _is_stable(self) -> bool:
        return bool(self._client.group_metadata().state is MemberState.STABLE)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        committed = asyncio.get_running_loop().create_future()
        await self._thread.call(self._commit, offsets, committed)
        try:
            await committed
        except errors.KafkaError as error:
            raise _as_broker_error(error) from error

    def _commit(self, offsets: Mapping[Partition, int], committed: asyncio.Future[None]) -> None:
        """Start a commit: polls go on while the broker writes it."""
        mine = {Partition(tp.topic, tp.partition): tp for tp in self._client.assignment()}
        owned = {
            mine[partition]: kafka.OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
            if partition in mine
        }
        if not owned:
            _resolve(committed, None)
            return
        # Not `callback=`: that one is only called by the next poll.
        started = self._client.commit_async(owned)
        started.add_callback(lambda _: _resolve(committed, None))
        started.add_errback(lambda error: _resolve(committed, error))

    async def pause(self) -> None:
        self._paused = True

    async def resume(self) -> None:
        self._paused = False
        await self._thread.call(lambda: self._client.resume(*self._client.paused()))

    async def close(self) -> None:
        await self._thread.call(self._client.close, autocommit=False, timeout_ms=_CONNECT_MS)
        self._thread.end()


class KafkaReader:
    """Reads chosen partitions without a group (port: Reader)."""

    def __init__(self, client: Any, thread: _Thread) -> None:
        self._client = client
        self._thread = thread

    async def poll(self, wait: float) -> Sequence[Record]:
        return _records(await self._thread.call(self._client.poll, timeout_ms=int(wait * 1000)))

    async def close(self) -> None:
        await self._thread.call(self._client.close, autocommit=False, timeout_ms=_CONNECT_MS)
        self._thread.end()


class KafkaRecordProducer:
    """Writes records with acks=all, idempotently (port: Producer)."""

    def __init__(self, client: Any, thread: _Thread, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._thread = thread
        self._loop = loop
        self._pending_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._acks: deque[tuple[asyncio.Future[None], int, BaseException | None]] = deque()

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> asyncio.Future[None]:
        done = self._loop.create_future()
        size = len(key or b"") + len(value or b"") + sum(len(k) + len(v) for k, v in headers)
        try:
            handle = self._client.send(topic, key=key, value=value, headers=headers, partition=partition)
        except errors.KafkaError as error:
            done.set_exception(_as_broker_error(error))
            return done
        self._pending_bytes += size
        if self._pending_bytes > MAX_PENDING_BYTES:
            self._room.clear()
        handle.add_callback(lambda _: self._acknowledge(done, size, None))
        handle.add_errback(lambda error: self._acknowledge(done, size, error))
        return done

    def _acknowledge(self, done: asyncio.Future[None], size: int, error: BaseException | None) -> None:
        """Runs in the I/O thread: wakes the event loop once for many acknowledgements."""
        first = not self._acks
        self._acks.append((done, size, error))
        if first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        while self._acks:
            done, size, error = self._acks.popleft()
            self._pending_bytes -= size
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(_as_broker_error(error))
        if self._pending_bytes <= MAX_PENDING_BYTES:
            self._room.set()

    async def room(self) -> None:
        await self._room.wait()

    async def close(self) -> None:
        await self._thread.call(self._client.close, timeout=_CLOSE_S)
        self._thread.end()


async def open_consumer(
    bootstrap: str,
    group: str,
    topics: Sequence[str],
    committable: Committable,
    session_timeout_ms: int = 10_000,
) -> KafkaGroupConsumer:
    """Join a group that reads `topics` from their beginning. Raises BrokerError if no broker answers."""
    thread = _Thread(f"kafka-{group}")
    rebalance = _Rebalance(committable)

    def connect() -> Any:
        client = kafka.KafkaConsumer(
            **_reading(bootstrap, group),
            group_id=group,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[CooperativeStickyAssignor()],
            session_timeout_ms=session_timeout_ms,
            heartbeat_interval_ms=session_timeout_ms // 4,
        )
        rebalance.consumer = client
        client.subscribe(list(topics), listener=rebalance)
        for topic in topics:
            # A leader without its topics' metadata shares out nothing.
            client.partitions_for_topic(topic)
        return client

    return KafkaGroupConsumer(await thread.call(connect), thread, rebalance)


async def open_reader(
    bootstrap: str, partitions: Sequence[Partition], start: Literal["beginning", "end"] = "end"
) -> KafkaReader:
    """Read `partitions` from `start`, which is fixed on return. Raises BrokerError if no broker answers."""
    thread = _Thread("kafka-reader")

    def connect() -> Any:
        client = kafka.KafkaConsumer(**_reading(bootstrap, "reader"))
        chosen = [kafka.TopicPartition(*partition) for partition in partitions]
        client.assign(chosen)
        (client.seek_to_end if start == "end" else client.seek_to_beginning)(*chosen)
        for partition in chosen:
            client.position(partition, timeout_ms=_CONNECT_MS)
        return client

    return KafkaReader(await thread.call(connect), thread)


async def open_producer(bootstrap: str, topics: Sequence[str] = ()) -> KafkaRecordProducer:
    """Connect, and fetch the metadata of `topics`. Raises BrokerError if no broker answers."""
    thread = _Thread("kafka-producer")

    def connect() -> Any:
        client = kafka.KafkaProducer(
            **_connecting(bootstrap, "producer"),
            acks="all",
            enable_idempotence=True,
            delivery_timeout_ms=_DELIVERY_MS,
            request_timeout_ms=_DELIVERY_MS // 2,
            max_block_ms=_CONNECT_MS,
            max_request_size=MAX_RECORD_BYTES,
        )
        for topic in topics:
            client.partitions_for(topic)
        return client

    return KafkaRecordProducer(await thread.call(connect), thread, asyncio.get_running_loop())


def _connecting(bootstrap: str, client_id: str) -> dict[str, Any]:
    return {
        "bootstrap_servers": bootstrap,
        "client_id": client_id,
        "bootstrap_timeout_ms": _CONNECT_MS,
        "reconnect_backoff_max_ms": 1_000,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }


def _reading(bootstrap: str, client_id: str) -> dict[str, Any]:
    return _connecting(bootstrap, client_id) | {
        "enable_auto_commit": False,
        "fetch_max_bytes": _FETCH_BYTES,
    }


def _resolve(future: asyncio.Future[None], error: BaseException | None) -> None:
    """End a future of the event loop from another thread."""

    def settle() -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    loop = future.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)


def _as_broker_error(error: BaseException) -> BrokerError:
    kind = RecordTooLarge if isinstance(error, errors.MessageSizeTooLargeError) else BrokerError
    return kind(f"{type(error).__name__}: {error}")


def _records(polled: Mapping[Any, Sequence[Any]]) -> list[Record]:
    return [
        Record(
            Partition(tp.topic, tp.partition),
            item.offset,
            item.key,
            item.value,
            item.headers,
            item.timestamp,
        )
        for tp, items in polled.items()
        for item in items
    ]

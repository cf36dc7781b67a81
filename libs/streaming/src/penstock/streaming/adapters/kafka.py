"""Kafka behind the ports, by kafka-python (3.x: each client runs an I/O thread of its own).

A consumer is not thread-safe, so each lives in a thread of its own, where its calls queue up; the producer
is, and its `send` only blocks on unknown metadata, which is fetched before the first one.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import kafka
import structlog
from kafka import errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.base import MemberState

from penstock.messages.envelope import Headers
from penstock.streaming.clock import BrokerClock
from penstock.streaming.ports import (
    BrokerError,
    Committable,
    Partition,
    Polled,
    Position,
    Record,
    RecordTooLarge,
    Since,
    Start,
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
    """Commits what is done before partitions go, and notes which went and came. Runs in the I/O thread."""

    def __init__(self, committable: Committable) -> None:
        self._committable = committable
        self._lock = threading.Lock()
        self._revoked: set[Partition] = set()
        self._assigned: set[Partition] = set()
        self.consumer: Any = None

    async def on_partitions_revoked(self, revoked: Sequence[Any]) -> None:
        offsets = {
            tp: kafka.OffsetAndMetadata(position.offset, position.note, -1)
            for tp in revoked
            if (position := self._committable(Partition(tp.topic, tp.partition))) is not None
        }
        self._gone(revoked)
        if offsets:
            try:
                await self.consumer.commit_async(offsets)
            except errors.KafkaError as error:  # the next owner repeats what is not committed
                log.info("commit_before_revocation_failed", error=type(error).__name__)

    async def on_partitions_lost(self, lost: Sequence[Any]) -> None:
        self._gone(lost)

    async def on_partitions_assigned(self, assigned: Sequence[Any]) -> None:
        with self._lock:
            self._assigned |= {Partition(tp.topic, tp.partition) for tp in assigned}

    def _gone(self, gone: Sequence[Any]) -> None:
        partitions = {Partition(tp.topic, tp.partition) for tp in gone}
        with self._lock:
            self._revoked |= partitions
            self._assigned -= partitions

    def take(self) -> tuple[frozenset[Partition], frozenset[Partition]]:
        """Return the partitions that went, and those that came (after that), since the last call."""
        with self._lock:
            revoked, self._revoked = frozenset(self._revoked), set()
            assigned, self._assigned = frozenset(self._assigned), set()
        return revoked, assigned


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
        revoked, assigned = self._rebalance.take()
        return Polled(_records(polled), revoked, {p: self._last_commit(p) for p in assigned})

    def _last_commit(self, partition: Partition) -> Position:
        committed = self._client.committed(kafka.TopicPartition(*partition), metadata=True)
        return Position(committed.offset, committed.metadata or "") if committed else Position(0)

    def _is_stable(self) -> bool:
        return bool(self._client.group_metadata().state is MemberState.STABLE)

    async def confirm(self, partition: Partition, committed: Position) -> bool:
        # The coordinator takes commits of current members only.
        if kafka.TopicPartition(*partition) not in self._client.assignment():
            return False
        try:
            await self.commit({partition: committed})
        except BrokerError as error:
            log.info("not_confirmed_as_owner", topic=partition.topic, error=str(error))
            return False
        return kafka.TopicPartition(*partition) in self._client.assignment()

    async def commit(self, offsets: Mapping[Partition, Position]) -> None:
        committed = asyncio.get_running_loop().create_future()
        await self._thread.call(self._commit, offsets, committed)
        try:
            await committed
        except errors.KafkaError as error:
            raise _as_broker_error(error) from error

    def _commit(self, offsets: Mapping[Partition, Position], committed: asyncio.Future[None]) -> None:
        """Start a commit: polls go on while the broker writes it."""
        mine = {Partition(tp.topic, tp.partition): tp for tp in self._client.assignment()}
        owned = {
            mine[partition]: kafka.OffsetAndMetadata(position.offset, position.note, -1)
            for partition, position in offsets.items()
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
        self._positions: dict[Partition, int] = {}

    async def poll(self, wait: float) -> Sequence[Record]:
        if not self._positions:
            await asyncio.sleep(wait)
            return []
        records = _records(await self._thread.call(self._client.poll, timeout_ms=int(wait * 1000)))
        for record in records:
            if record.partition in self._positions:
                self._positions[record.partition] = record.offset + 1
        return [record for record in records if record.partition in self._positions]

    async def read(self, starts: Mapping[Partition, Start]) -> None:
        self._positions |= await self._thread.call(self._read, starts)

    def _read(self, starts: Mapping[Partition, Start]) -> dict[Partition, int]:
        chosen = {kafka.TopicPartition(*partition): start for partition, start in starts.items()}
        self._client.assign([*(self._client.assignment() | chosen.keys())])
        since = {tp: start.ms for tp, start in chosen.items() if isinstance(start, Since)}
        found = self._client.offsets_for_times(since, timeout_ms=_CONNECT_MS) if since else {}
        for tp, start in chosen.items():
            if isinstance(start, Since):
                self._seek(tp, found[tp].offset if found.get(tp) else "end")
            else:
                self._seek(tp, start)
        return {Partition(tp.topic, tp.partition): self._position(tp) for tp in chosen}

    def _position(self, tp: Any) -> int:
        position: int | None = self._client.position(tp, timeout_ms=_CONNECT_MS)
        if position is None:
            raise BrokerError(f"no place in {tp.topic}/{tp.partition} was told within {_CONNECT_MS} ms")
        return position

    def _seek(self, tp: Any, start: int | Literal["beginning", "end"]) -> None:
        if start == "beginning":
            self._client.seek_to_beginning(tp)
        elif start == "end":
            self._client.seek_to_end(tp)
        else:
            self._client.seek(tp, start)

    async def leave(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)
        await self._thread.call(self._leave, {kafka.TopicPartition(*p) for p in partitions})

    def _leave(self, gone: set[Any]) -> None:
        self._client.assign([tp for tp in self._client.assignment() if tp not in gone])

    def position(self, partition: Partition) -> int:
        return self._positions[partition]

    async def close(self) -> None:
        await self._thread.call(self._client.close, autocommit=False, timeout_ms=_CONNECT_MS)
        self._thread.end()


class KafkaRecordProducer:
    """Writes records with acks=all, idempotently (port: Producer)."""

    def __init__(
        self, client: Any, thread: _Thread, loop: asyncio.AbstractEventLoop, clock: BrokerClock
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
            done.set_exception(_as_broker_error(error))
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
                done.set_exception(_as_broker_error(outcome))
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
    bootstrap: str, partitions: Collection[Partition] = (), start: Start = "end"
) -> KafkaReader:
    """Read `partitions` from `start`, which is fixed on return. Raises BrokerError if no broker answers."""
    thread = _Thread("kafka-reader")

    def connect() -> Any:
        return kafka.KafkaConsumer(**_reading(bootstrap, "reader"), auto_offset_reset="earliest")

    reader = KafkaReader(await thread.call(connect), thread)
    if partitions:
        await reader.read(dict.fromkeys(partitions, start))
    return reader


async def open_producer(
    bootstrap: str, topics: Sequence[str] = (), clock: BrokerClock | None = None
) -> KafkaRecordProducer:
    """Connect, and fetch the metadata of `topics`. Acknowledgements set the `clock`.

    Raises BrokerError if no broker answers.
    """
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

    return KafkaRecordProducer(
        await thread.call(connect), thread, asyncio.get_running_loop(), clock or BrokerClock()
    )


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

"""A member of a consumer group (port: Consumer)."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import kafka
import structlog
from kafka import errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.base import MemberState

from penstock.streaming.adapters.kafka.client import CONNECT_MS, Thread, as_broker_error, reading, records_of
from penstock.streaming.adapters.notes import closed
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import BrokerError, Committable, Partition, Polled, Position

_JOIN_MS = 2_000
_ENDS_MS = 500  # polls wait for the answer
_COMMIT_SECONDS = 5.0
log = structlog.get_logger()


def _as_committed(position: Position) -> Any:
    """Return what to commit. Without the zero byte librdkafka would not see where a note ends."""
    note = closed(position.note)
    return kafka.OffsetAndMetadata(position.offset, note and note + "\0", -1)


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
            tp: _as_committed(position)
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

    def __init__(self, client: Any, thread: Thread, rebalance: _Rebalance) -> None:
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
        return Polled(records_of(polled), revoked, {p: self._last_commit(p) for p in assigned})

    def _last_commit(self, partition: Partition) -> Position:
        committed = self._client.committed(kafka.TopicPartition(*partition), metadata=True)
        if not committed:
            return Position(0)
        # This library reads to the byte, so a note of an earlier version, which has no mark, counts as well.
        return Position(committed.offset, (committed.metadata or "").rstrip("\0\n"))

    def _is_stable(self) -> bool:
        return bool(self._client.group_metadata().state is MemberState.STABLE)

    async def ends(self) -> dict[Partition, int]:
        return await self._thread.call(self._ends)

    def _ends(self) -> dict[Partition, int]:
        # Not `highwater`: fetches tell it, and there are none while the stage is full.
        owned = list(self._client.assignment())
        found = self._client.end_offsets(owned, timeout_ms=_ENDS_MS) if owned else {}
        return {Partition(tp.topic, tp.partition): end for tp, end in found.items()}

    def partitions(self, topic: str) -> int:
        return len(self._client.partitions_for_topic(topic) or ())

    async def confirm(self, partition: Partition, position: Position) -> bool:
        # The coordinator takes commits of current members only.
        if kafka.TopicPartition(*partition) not in self._client.assignment():
            return False
        try:
            await self.commit({partition: position})
        except BrokerError as error:
            log.info("not_confirmed_as_owner", topic=partition.topic, error=str(error))
            return False
        return kafka.TopicPartition(*partition) in self._client.assignment()

    async def commit(self, offsets: Mapping[Partition, Position]) -> None:
        committed = asyncio.get_running_loop().create_future()
        await self._thread.call(self._commit, offsets, committed)
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                await committed
        except errors.KafkaError as error:
            raise as_broker_error(error) from error
        except TimeoutError:
            raise BrokerError(f"no commit was acknowledged within {_COMMIT_SECONDS:g} s") from None

    def _commit(self, offsets: Mapping[Partition, Position], committed: asyncio.Future[None]) -> None:
        """Start a commit: polls go on while the broker writes it."""
        mine = {Partition(tp.topic, tp.partition): tp for tp in self._client.assignment()}
        owned = {
            mine[partition]: _as_committed(position)
            for partition, position in offsets.items()
            if partition in mine
        }
        if not owned:
            _resolve(committed, None)
            return
        # Not `callback=`: that one is only called by the next poll.
        started = self._client.commit_async(owned)
        started.add_callback(lambda found: _resolve(committed, _lookup_only(found)))
        started.add_errback(lambda error: _resolve(committed, error))

    async def pause(self) -> None:
        self._paused = True

    async def resume(self) -> None:
        self._paused = False
        await self._thread.call(lambda: self._client.resume(*self._client.paused()))

    async def close(self) -> None:
        await self._thread.call(self._client.close, autocommit=False, timeout_ms=CONNECT_MS)
        self._thread.end()


async def open_consumer(
    cluster: Cluster,
    group: str,
    topics: Sequence[str],
    committable: Committable,
    session_timeout_ms: int = 10_000,
) -> KafkaGroupConsumer:
    """Join a group that reads `topics` from their beginning. Raises BrokerError if no broker answers."""
    thread = Thread(f"kafka-{group}")
    rebalance = _Rebalance(committable)

    def connect() -> Any:
        client = kafka.KafkaConsumer(
            **reading(cluster, group),
            group_id=group,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[CooperativeStickyAssignor()],
            session_timeout_ms=session_timeout_ms,
            heartbeat_interval_ms=session_timeout_ms // 6,
        )
        rebalance.consumer = client
        client.subscribe(list(topics), listener=rebalance)
        for topic in topics:
            # A leader without its topics' metadata shares out nothing.
            client.partitions_for_topic(topic)
        return client

    return KafkaGroupConsumer(await thread.call(connect), thread, rebalance)


def _lookup_only(found: object) -> BaseException | None:
    """Return the error of a commit whose future told of the coordinator instead.

    While the coordinator is unknown, kafka-python 3.0.12 returns the future of looking it up, which holds its
    id; the commit that follows, and its failure, nobody hears of. The future of a commit holds None.
    """
    return None if found is None else errors.CoordinatorNotAvailableError("it was not known yet")


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

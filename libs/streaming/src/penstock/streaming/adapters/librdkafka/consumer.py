"""A member of a consumer group (port: Consumer)."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import structlog
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, Message, TopicPartition

from penstock.streaming.adapters.librdkafka.client import (
    CONNECT_S,
    as_broker_error,
    committing,
    is_final,
    partition_count,
    partition_of,
    reading,
    records_of,
    topic_partition,
)
from penstock.streaming.adapters.librdkafka.feed import Feed
from penstock.streaming.adapters.librdkafka.reader import offsets_for
from penstock.streaming.adapters.notes import opened
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import BrokerError, Committable, Partition, Polled, Position, Record

_NOTHING = Polled((), frozenset(), {})
_ENDS_S = 0.5
_CONFIRM_S = 5.0
_REVOKE_S = 5.0
"""For so long a rebalance waits for what is done to be committed."""
_COMMITTED_S = 30.0
"""For so long it is tried to learn what the last owner of a partition has committed."""
T = TypeVar("T")
log = structlog.get_logger()


class LibrdkafkaConsumer:
    """A member of a consumer group (port: Consumer).

    What waits for the network, but for the polling, is done by one more thread, one after the other: so no
    commit overtakes another one.
    """

    def __init__(self, group: str, topics: Sequence[str], committable: Committable) -> None:
        self.feed: Feed[Polled] = Feed(f"kafka-{group}", self._gather)
        self._topics = topics
        self._committable = committable
        self._calls = ThreadPoolExecutor(1, f"kafka-{group}-calls", self.feed.be_caller)
        self._joined = False
        self._paused = False
        self._held: list[Record] = []
        # These are written by the thread that polls.
        self._owned: frozenset[Partition] = frozenset()
        self._counts: dict[str, int] = {}
        self._revoked: set[Partition] = set()
        self._assigned: dict[Partition, Position] = {}

    @property
    def joined(self) -> bool:
        return self._joined

    async def poll(self, wait: float) -> Polled:
        if self._held and not self._paused:
            held, self._held = self._held, []
            return _NOTHING._replace(records=held)
        polled = await self.feed.take(wait)
        if polled is None:
            return _NOTHING
        if polled.revoked:
            self._held = [record for record in self._held if record.partition not in polled.revoked]
        if self._paused:  # they were polled before
            self._held += polled.records
            return polled._replace(records=())
        return polled

    async def commit(self, offsets: Mapping[Partition, Position]) -> None:
        await self._call(partial(self._commit, offsets))

    async def confirm(self, partition: Partition, position: Position) -> bool:
        try:
            async with asyncio.timeout(_CONFIRM_S):
                return await self._call(partial(self._confirm, partition, position))
        except (BrokerError, TimeoutError) as error:
            log.info("not_confirmed_as_owner", topic=partition.topic, error=str(error) or "no answer")
            return False

    async def ends(self) -> dict[Partition, int]:
        return await self._call(self._ends)

    def partitions(self, topic: str) -> int:
        return self._counts.get(topic, 0)

    async def pause(self) -> None:
        self._paused = True
        await self.feed.call(self._pause)

    async def resume(self) -> None:
        self._paused = False
        await self.feed.call(self._resume)

    async def close(self) -> None:
        await self.feed.close(self._leave)
        self._calls.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._calls, function)
        except KafkaException as error:
            raise as_broker_error(error) from error

    # In the thread for calls.

    def _commit(self, offsets: Mapping[Partition, Position]) -> None:
        # Looked up here: the broker takes a member's commits of any partition, so of one that has gone, too.
        owned = [committing(p, position) for p, position in offsets.items() if p in self._owned]
        if owned:
            self._commit_now(owned)

    def _commit_now(self, places: list[TopicPartition]) -> None:
        for answered in self.feed.client.commit(offsets=places, asynchronous=False):
            if answered.error is not None:
                raise KafkaException(answered.error)

    def _confirm(self, partition: Partition, position: Position) -> bool:
        if partition not in self._owned:
            return False
        member = self.feed.client.memberid()
        self._commit_now([committing(partition, position)])
        # A group without members takes commits of anybody.
        return member is not None and member == self.feed.client.memberid() and partition in self._owned

    def _ends(self) -> dict[Partition, int]:
        owned = self._owned
        ends = {} if self._paused else self._last_seen_ends(owned)
        unknown = owned - ends.keys()  # fetches tell it, and there were none of these
        return ends | offsets_for(self.feed.client, dict.fromkeys(unknown, OFFSET_END), _ENDS_S)

    def _last_seen_ends(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        ends = {}
        for partition in partitions:
            _, end = self.feed.client.get_watermark_offsets(topic_partition(partition), cached=True)
            if end >= 0:
                ends[partition] = end
        return ends

    # In the thread that polls, as the callbacks of a rebalance.

    def connect(self, settings: Callable[[], dict[str, object]]) -> Consumer:
        client = Consumer({**settings(), "on_commit": self.feed.interrupt})
        self._counts = {topic: partition_count(client, topic) for topic in self._topics}
        client.subscribe(
            list(self._topics),
            on_assign=self.feed.callback(self._on_assigned),
            on_revoke=self.feed.callback(self._on_revoked),
            on_lost=self.feed.callback(self._on_lost),
        )
        return client

    def _gather(self, messages: list[Message]) -> Polled | None:
        for error in (message.error() for message in messages):
            if error is None:
                continue
            if is_final(error):
                self.feed.fail(as_broker_error(error))
            log.info("reading_goes_on", error=error.str())
        records = records_of(messages)
        revoked, self._revoked = frozenset(self._revoked), set()
        assigned, self._assigned = self._assigned, {}
        if revoked:
            records = [record for record in records if record.partition in self._owned]
        return Polled(records, revoked, assigned) if records or revoked or assigned else None

    def _on_assigned(self, client: Consumer, places: list[TopicPartition]) -> None:
        found = self._last_commits(client, places)
        client.incremental_assign(
            [topic_partition(p, at.offset if at else OFFSET_BEGINNING) for p, at in found.items()]
        )
        self._assigned |= {p: at or Position(0) for p, at in found.items()}
        self._owned = self._owned.union(found)
        if self._paused:
            client.pause(places)
        self._look_at_counts(client, found)
        self._joined = True

    def _last_commits(
        self, client: Consumer, places: list[TopicPartition]
    ) -> dict[Partition, Position | None]:
        """Return what the last owners have committed; tries for a while if the coordinator is away."""
        give_up = time.monotonic() + _COMMITTED_S
        while places:
            try:
                found = client.committed(places, timeout=CONNECT_S)
                for there in found:
                    if there.error is not None:
                        raise KafkaException(there.error)
                return {partition_of(there): _position(there) for there in found}
            except KafkaException as error:
                log.warning("committed_offsets_unknown", error=str(error))
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
        return {}

    def _look_at_counts(self, client: Consumer, found: Collection[Partition]) -> None:
        """Learn the counts before the partitions are handed over only if they show that a topic has grown.

        The question stands in line behind a fetch that waits for records, which takes up to half a second.
        """
        if any(partition.number >= self._counts.get(partition.topic, 0) for partition in found):
            self._learn_counts(client)
        else:
            self._calls.submit(self._learn_counts, client)

    def _learn_counts(self, client: Consumer) -> None:
        try:
            self._counts = {topic: partition_count(client, topic) for topic in self._topics}
        except KafkaException as error:  # those known before stay
            log.info("partition_counts_unknown", error=str(error))

    def _on_revoked(self, client: Consumer, places: list[TopicPartition]) -> None:
        gone = {partition_of(there) for there in places}
        self._owned -= gone
        done = [
            committing(partition, position)
            for partition in gone
            if (position := self._committable(partition)) is not None
        ]
        if done:
            try:
                self._calls.submit(self._commit_now, done).result(_REVOKE_S)
            except (KafkaException, TimeoutError) as error:  # the next owner repeats what is not committed
                log.info("commit_before_revocation_failed", error=str(error) or "no answer")
        client.incremental_unassign(places)
        self._note_gone(gone)

    def _on_lost(self, client: Consumer, places: list[TopicPartition]) -> None:
        gone = {partition_of(there) for there in places}
        self._owned -= gone
        client.incremental_unassign(places)
        self._note_gone(gone)

    def _note_gone(self, gone: set[Partition]) -> None:
        self._revoked |= gone
        for partition in gone:
            self._assigned.pop(partition, None)
        self._joined = False

    def _pause(self) -> None:
        self.feed.client.pause(self.feed.client.assignment())

    def _resume(self) -> None:
        self.feed.client.resume(self.feed.client.assignment())

    def _leave(self) -> None:
        try:
            self._calls.submit(lambda: None).result(CONNECT_S)
        except TimeoutError:  # a call that is still at it must not lose its client: the session will time out
            log.warning("left_without_telling_the_group")
        else:
            self.feed.client.close()


def _position(there: TopicPartition) -> Position | None:
    """Return what is committed, or None."""
    return Position(there.offset, _note(there)) if there.offset >= 0 else None


def _note(there: TopicPartition) -> str:
    try:
        return opened(there.metadata or "")
    except UnicodeDecodeError:  # it had no end, and what lies behind it is no text
        return ""


async def open_consumer(
    cluster: Cluster,
    group: str,
    topics: Sequence[str],
    committable: Committable,
    session_timeout_ms: int = 10_000,
) -> LibrdkafkaConsumer:
    """Join a group that reads `topics` from their beginning. Raises BrokerError if no broker answers."""
    consumer = LibrdkafkaConsumer(group, topics, committable)

    def settings() -> dict[str, object]:
        return reading(cluster, group) | {
            "group.id": group,
            "group.protocol": "classic",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": session_timeout_ms,
            "heartbeat.interval.ms": session_timeout_ms // 6,
        }

    await consumer.feed.open(lambda: consumer.connect(settings))
    return consumer

"""The cluster: topics with their partitions, groups with their coordinators, and what may befall them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from e2e.faults.invariants import Committed
from e2e.simulation.kafka.coordinator import Coordinator
from e2e.simulation.kafka.link import KafkaError, Reply, Time, Weather
from e2e.simulation.kafka.partition import Appended, Draft, PartitionLog
from penstock.messages.topics import Topic
from penstock.streaming.adapters.kafka import partition_of
from penstock.streaming.ports import Partition, Position, Record, Since, Start

MAX_RECORD_BYTES = 4 << 20
_MOST_RECORDS = 500
_FETCH_S = 0.5
"""How long a fetch waits for records (fetch.max.wait.ms)."""
Fetched = dict[Partition, tuple[int, list[Record]]]
"""By partition: the offset from which was read, and what stands there."""


@dataclass(slots=True)
class Cluster:
    """Handles what clients ask; everything at once, but for what has to wait for replicas or other members.

    `clock_ms` is the brokers' clock, which stamps records (LogAppendTime). Clients may know of partitions
    what was true `metadata_s` ago. Until `slow_until` each batch takes up to `disk_s` to reach the disks.
    """

    time: Time
    random: Random
    clock_ms: Callable[[], int]
    weather: Weather = field(default_factory=Weather)
    logs: dict[Partition, PartitionLog] = field(default_factory=dict)
    groups: dict[str, Coordinator] = field(default_factory=dict)
    commits: list[Committed] = field(default_factory=list)
    metadata_s: float = 0.0
    slow_until: float = 0.0
    disk_s: float = 0.0
    _counts: dict[str, int] = field(default_factory=dict)
    _fetches: list[_Fetch] = field(default_factory=list)
    _producers: int = 0

    def make_topics(self, topics: Collection[Topic]) -> None:
        """Make topics, and those of their dead letters."""
        for topic in topics:
            self.grow(topic.name, topic.partitions)
            self.grow(topic.dlq, 1)

    def grow(self, topic: str, partitions: int) -> None:
        """Let a topic have so many partitions."""
        for number in range(self._counts.get(topic, 0), partitions):
            self.logs[Partition(topic, number)] = PartitionLog(Partition(topic, number))
        self._counts[topic] = max(partitions, self._counts.get(topic, 0))

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has, 0 if there is none."""
        return self._counts.get(topic, 0)

    def partition_of(self, key: bytes, partitions: int) -> int:
        """Return to which of so many partitions a key goes."""
        return partition_of(key, partitions)

    def new_producer(self) -> int:
        """Return a producer's id (InitProducerId, KIP-98)."""
        self._producers += 1
        return self._producers

    def group(self, name: str) -> Coordinator:
        """Return a group's coordinator."""
        return self.groups.setdefault(name, Coordinator(name, self.time, self._commits))

    def log(self, topic: str) -> list[Record]:
        """Return all that consumers may or might see of a topic, partition by partition."""
        logs = [self.logs[Partition(topic, number)] for number in range(self._counts[topic])]
        return [record for log in logs for record in log.forgotten + log.read(log.begin, len(log.records))]

    def produce(
        self,
        partition: Partition,
        producer: int,
        number: int,
        drafts: Sequence[Draft],
        reply: Reply[Appended],
    ) -> None:
        """Produce with acks=all: answered when all replicas have the batch."""
        log = self.logs[partition]
        try:
            appended = log.append(producer, number, drafts, self.clock_ms())
        except KafkaError as error:
            reply(error)
            return
        end = appended.first + len(drafts)

        def replicated() -> None:
            if log.has_leader and log.high_watermark >= end:
                reply(appended)
            else:
                reply(KafkaError("NOT_LEADER_OR_FOLLOWER", retriable=True))

        log.when_replicated(end, replicated)
        slowest_s = self.disk_s if self.time.now < self.slow_until else self.weather.most_s
        self.time.later(self.random.uniform(0, slowest_s), lambda: self._replicate(log, end))

    def fetch(self, positions: Mapping[Partition, int], reply: Reply[Fetched]) -> None:
        """Answered as soon as there is something to read, or after half a second."""
        fetch = _Fetch(dict(positions), reply)
        if not self._answer(fetch):
            self._fetches.append(fetch)
            self.time.later(_FETCH_S, lambda: self._expire(fetch))

    def offset(self, partition: Partition, start: Start) -> int:
        """Return the offset that a start means (ListOffsets). Raises KafkaError."""
        log = self.logs[partition]
        if not log.has_leader:
            raise KafkaError("NOT_LEADER_OR_FOLLOWER", retriable=True)
        if isinstance(start, Since):
            known = log.records[: log.high_watermark - log.begin]
            return next((r.offset for r in known if r.timestamp_ms >= start.ms), log.high_watermark)
        if isinstance(start, int):
            return start if log.begin <= start <= log.high_watermark else log.begin
        return log.begin if start == "beginning" else log.high_watermark

    def is_done(self, topics: Collection[str]) -> bool:
        """Return whether the groups that read these topics have committed all that stands in them."""
        reading = {p.topic: group for group in self.groups.values() for p in group.committed}
        return all(
            not log.end or (at.topic in reading and self._reached(reading[at.topic], at) >= log.end)
            for at, log in self.logs.items()
            if at.topic in topics
        )

    def _reached(self, group: Coordinator, at: Partition) -> int:
        return group.committed[at].offset if at in group.committed else 0

    def lose_leader(self, partition: Partition, seconds: float, *, cut: bool) -> None:
        """Let a partition be without a leader for a while; the next one may lack what was not replicated."""
        log = self.logs[partition]
        if log.has_leader:
            log.lose_leader()
            self.time.later(seconds, lambda: self._elect(log, cut=cut))

    def forget_done(self, topic: str) -> None:
        """Retention: forget what every group that reads a topic has committed to be done."""
        for number in range(self._counts[topic]):
            at = Partition(topic, number)
            commits = [group.committed[at].offset for group in self.groups.values() if at in group.committed]
            self.logs[at].delete_before(min(commits, default=0))

    def _commits(self, group: str, offsets: Mapping[Partition, Position]) -> None:
        reached = {(p.topic, p.number): log.high_watermark for p, log in self.logs.items() if log.end}
        for partition, position in offsets.items():
            self.commits.append(Committed(group, partition.topic, partition.number, position.offset, reached))

    def _elect(self, log: PartitionLog, *, cut: bool) -> None:
        log.elect(cut=cut)
        self._serve(log.partition)

    def _replicate(self, log: PartitionLog, end: int) -> None:
        if log.has_leader:
            log.replicate(end)
            self._serve(log.partition)

    def _serve(self, partition: Partition) -> None:
        """Answer the fetches that wait for something in a partition."""
        self._fetches = [
            fetch for fetch in self._fetches if partition not in fetch.positions or not self._answer(fetch)
        ]

    def _expire(self, fetch: _Fetch) -> None:
        if fetch in self._fetches:
            self._fetches.remove(fetch)
            fetch.reply({})

    def _answer(self, fetch: _Fetch) -> bool:
        """Answer a fetch if there is something to read; an offset that is no longer kept is the beginning."""
        found: Fetched = {}
        room = _MOST_RECORDS
        for partition, position in fetch.positions.items():
            log = self.logs[partition]
            if not log.has_leader or not room:
                continue
            begin = position if log.begin <= position <= log.end else log.begin
            if records := log.read(begin, room):
                found[partition] = position, records
                room -= len(records)
        if found:
            fetch.reply(found)
        return bool(found)


@dataclass(slots=True, eq=False)
class _Fetch:
    positions: dict[Partition, int]
    reply: Reply[Fetched]

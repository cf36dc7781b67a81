"""A broker in memory, for tests without one: the same ports, groups and rebalances, nothing kept."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from zlib import crc32

from penstock.messages.envelope import Headers
from penstock.messages.topics import TOPICS, Topic
from penstock.streaming.clock import unix_ms
from penstock.streaming.ports import (
    AcknowledgedOffset,
    BrokerError,
    Committable,
    Extent,
    Group,
    Partition,
    Polled,
    Position,
    Record,
    RecordTooLarge,
    Since,
    Start,
)

MAX_RECORD_BYTES = 4 << 20


class MemoryBroker:
    """Holds the logs of topics, and the groups that read them; for one event loop.

    `failing`, while set, makes every send fail with it, as a broker that has gone does.
    `now_ms` stamps records.
    """

    def __init__(self, topics: Sequence[Topic] = TOPICS, now_ms: Callable[[], int] = unix_ms) -> None:
        self.now_ms = now_ms
        self._counts = {topic.name: topic.partitions for topic in topics}
        self._counts |= {topic.dlq: 1 for topic in topics}
        self._logs: dict[Partition, list[Record]] = defaultdict(list)
        self._groups: dict[str, list[MemoryConsumer]] = defaultdict(list)
        self._news = asyncio.Condition()
        self.committed: dict[tuple[str, Partition], Position] = {}
        self.failing: BrokerError | None = None

    def producer(self) -> "MemoryProducer":
        """Return a producer."""
        return MemoryProducer(self)

    def reader(self, partitions: Collection[Partition] = (), start: Start = "end") -> "MemoryReader":
        """Return a reader of `partitions` from `start`."""
        return MemoryReader(self, {p: self.offset_of(p, start) for p in partitions})

    def overview(self) -> "MemoryOverview":
        """Return a view of how far everything is."""
        return MemoryOverview(self)

    def partition_of(self, key: bytes, partitions: int) -> int:
        """Return to which of so many partitions a key goes."""
        return crc32(key) % partitions

    def members(self, group: str) -> int:
        """Return how many members a group has."""
        return len(self._groups.get(group, ()))

    def offset_of(self, partition: Partition, start: Start) -> int:
        """Return the offset that a start means in a partition."""
        log = self._logs[partition]
        if isinstance(start, Since):
            return next((r.offset for r in log if r.timestamp_ms >= start.ms), len(log))
        if start == "beginning":
            return 0
        return len(log) if start == "end" else start

    def consumer(
        self, group: str, topics: Sequence[str], committable: Committable = lambda _: None
    ) -> "MemoryConsumer":
        """Return a new member of a group; the others of the group give up their share."""
        member = MemoryConsumer(self, group, topics, committable)
        self._groups[group].append(member)
        self._rebalance(group)
        return member

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        return self._counts[topic]

    def log(self, topic: str) -> list[Record]:
        """Return all records of a topic, partition by partition."""
        return [
            record for number in range(self._counts[topic]) for record in self._logs[Partition(topic, number)]
        ]

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        number: int | bytes | None = None,
    ) -> int:
        """Write one record, and return its offset."""
        if topic not in self._counts:
            raise BrokerError(f"no such topic: {topic}")
        if len(value or b"") > MAX_RECORD_BYTES:
            raise RecordTooLarge(f"{len(value or b'')} bytes are more than {MAX_RECORD_BYTES}")
        if not isinstance(number, int):
            number = self.partition_of(key or b"" if number is None else number, self._counts[topic])
        partition = Partition(topic, number)
        log = self._logs[partition]
        log.append(Record(partition, len(log), key, value, headers, self.now_ms()))
        return AcknowledgedOffset(log[-1].offset, number)

    def read(self, positions: dict[Partition, int], limit: int = 500) -> list[Record]:
        """Return what lies at and after `positions`, and move them."""
        records: list[Record] = []
        for partition, position in positions.items():
            fresh = self._logs[partition][position : position + limit - len(records)]
            positions[partition] = position + len(fresh)
            records += fresh
        return records

    async def wait_for_news(self, wait: float) -> None:
        """Wait until something is written or a group changes, at most `wait` seconds."""
        try:
            async with asyncio.timeout(wait), self._news:
                await self._news.wait()
        except TimeoutError:
            return

    async def notify(self) -> None:
        """Wake all that wait for news."""
        async with self._news:
            self._news.notify_all()

    def leave(self, member: "MemoryConsumer") -> None:
        """Take a member out of its group."""
        if member in self._groups[member.group]:
            self._groups[member.group].remove(member)
            member.assign({})
            self._rebalance(member.group)

    def _rebalance(self, group: str) -> None:
        members = self._groups[group]
        topics = sorted({topic for member in members for topic in member.topics})
        partitions = [Partition(t, n) for t in topics for n in range(self._counts[t])]
        shares: list[dict[Partition, int]] = [{} for _ in members]
        for number, partition in enumerate(partitions):
            shares[number % len(members)][partition] = 0
        for member, share in zip(members, shares, strict=True):
            member.give_up(share.keys())
        for member, share in zip(members, shares, strict=True):
            member.assign({p: self.committed.get((group, p), Position(0)) for p in share})


class MemoryConsumer:
    """Port: Consumer."""

    def __init__(
        self, broker: MemoryBroker, group: str, topics: Sequence[str], committable: Committable
    ) -> None:
        self.group = group
        self.topics = topics
        self._broker = broker
        self._committable = committable
        self._positions: dict[Partition, int] = {}
        self._revoked: set[Partition] = set()
        self._assigned: dict[Partition, Position] = {}
        self._paused = False

    @property
    def joined(self) -> bool:
        return True

    def give_up(self, kept: Collection[Partition]) -> None:
        """Commit and lose the partitions not in `kept`."""
        for partition in self._positions.keys() - set(kept):
            position = self._committable(partition)
            if position is not None:
                self._broker.committed[self.group, partition] = position
            self._revoked.add(partition)
            self._assigned.pop(partition, None)
            del self._positions[partition]

    def assign(self, positions: Mapping[Partition, Position]) -> None:
        """Take over `positions`, going on where this member is for those it had."""
        self._assigned |= {p: start for p, start in positions.items() if p not in self._positions}
        self._positions = {p: self._positions.get(p, start.offset) for p, start in positions.items()}

    async def poll(self, wait: float) -> Polled:
        if self._broker.failing:
            await asyncio.sleep(wait)
            return Polled([], frozenset(), {})
        if self._paused or not (records := self._broker.read(self._positions)):
            await self._broker.wait_for_news(wait)
            records = [] if self._paused else self._broker.read(self._positions)
        revoked, self._revoked = frozenset(self._revoked), set()
        assigned, self._assigned = self._assigned, {}
        return Polled([r for r in records if r.partition in self._positions], revoked, assigned)

    async def commit(self, offsets: Mapping[Partition, Position]) -> None:
        for partition, position in offsets.items():
            if partition in self._positions:
                self._broker.committed[self.group, partition] = position

    async def ends(self) -> dict[Partition, int]:
        return {partition: self._broker.offset_of(partition, "end") for partition in self._positions}

    def partitions(self, topic: str) -> int:
        return self._broker.partitions(topic)

    async def confirm(self, partition: Partition, position: Position) -> bool:
        await self.commit({partition: position})
        return partition in self._positions

    async def pause(self) -> None:
        self._paused = True

    async def resume(self) -> None:
        self._paused = False

    async def close(self) -> None:
        self._broker.leave(self)


class MemoryReader:
    """Port: Reader."""

    def __init__(self, broker: MemoryBroker, positions: dict[Partition, int]) -> None:
        self._broker = broker
        self._positions = positions

    async def poll(self, wait: float) -> Sequence[Record]:
        records = self._broker.read(self._positions)
        if not records:
            await self._broker.wait_for_news(wait)
            records = self._broker.read(self._positions)
        return records

    async def read(self, starts: Mapping[Partition, Start]) -> None:
        self._positions |= {p: self._broker.offset_of(p, start) for p, start in starts.items()}

    async def leave(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)

    def position(self, partition: Partition) -> int:
        return self._positions[partition]

    async def close(self) -> None:
        self._positions = {}


class MemoryProducer:
    """Port: Producer. A record stands in the log at once and is acknowledged soon after."""

    broken = False
    is_full = False

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | bytes | None = None,
    ) -> asyncio.Future[int]:
        outcome: int | BrokerError
        try:
            if self._broker.failing is not None:
                raise self._broker.failing
            outcome = self._broker.append(topic, key, value, headers, partition)
        except BrokerError as error:
            outcome = error
        return asyncio.ensure_future(self._acknowledge(outcome))

    async def _acknowledge(self, outcome: int | BrokerError) -> int:
        await self._broker.notify()
        if isinstance(outcome, BrokerError):
            raise outcome
        return outcome

    async def room(self) -> None:
        return

    async def close(self) -> None:
        return


class MemoryOverview:
    """Port: Overview."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def extents(self, partitions: Collection[Partition]) -> dict[Partition, Extent]:
        return {p: Extent(0, self._broker.offset_of(p, "end")) for p in partitions}

    async def groups(self, names: Collection[str]) -> dict[str, Group]:
        return {
            name: Group(
                self._broker.members(name),
                {p: position.offset for (g, p), position in self._broker.committed.items() if g == name},
            )
            for name in names
        }

    async def group_names(self) -> list[str]:
        return sorted({group for group, _ in self._broker.committed})

    async def close(self) -> None:
        return

"""What the runner needs of a broker, implemented for Kafka and in memory; one suite tries both."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from penstock.messages.envelope import Headers
from penstock.streaming.clock import BrokerClock


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int


class Record(NamedTuple):
    """One record as it lies in the log."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


class AcknowledgedOffset(int):
    """The offset of a record that the broker has acknowledged; it knows the partition, too."""

    partition: int

    def __new__(cls, offset: int, partition: int) -> "AcknowledgedOffset":
        written = super().__new__(cls, offset)
        written.partition = partition
        return written


class Position(NamedTuple):
    """Where in a partition to read on, and a note kept with that (at most 4,096 bytes)."""

    offset: int
    note: str = ""


class Polled(NamedTuple):
    """What one poll brought.

    First `revoked` partitions were taken away, then `assigned` ones were given, each with what its last owner
    committed (offset 0 if nothing), then the records came.
    """

    records: Sequence[Record]
    revoked: frozenset[Partition]
    assigned: Mapping[Partition, Position]


Committable = Callable[[Partition], Position | None]
"""Tells what to commit for a partition that is about to be taken away (None: nothing new)."""


class Since(NamedTuple):
    """The first record that the broker has stamped with this Unix time in milliseconds, or later."""

    ms: int


Start = int | Since | Literal["beginning", "end"]
"""Where to begin to read a partition; an offset that is no longer kept means the beginning."""


class BrokerError(Exception):
    """The broker could not be reached, or refused; the message says what was tried."""


class Refused(BrokerError):
    """Repeating it is of no use before a setting is changed, which the message names."""


class RecordTooLarge(BrokerError):
    """The broker will never take this record, whatever is tried."""


class Consumer(Protocol):
    """A member of a consumer group."""

    @property
    def joined(self) -> bool:
        """Whether the group has given this member its share (which may be empty)."""

    async def poll(self, wait: float) -> Polled:
        """Return what has arrived, waiting up to `wait` seconds for it. Raises BrokerError."""

    async def commit(self, offsets: Mapping[Partition, Position]) -> None:
        """Commit where to read on. Raises BrokerError; partitions no longer ours are ignored."""

    async def ends(self) -> Mapping[Partition, int]:
        """Return the end of each partition of ours: the next record gets that offset. Raises BrokerError."""

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic of ours has: known once it has joined, 0 before."""

    async def confirm(self, partition: Partition, position: Position) -> bool:
        """Commit, and return whether the group took it: it counts this member, the partition its own."""

    async def pause(self) -> None:
        """Let polls return no records (of partitions assigned later, too) until `resume`."""

    async def resume(self) -> None:
        """Undo `pause`."""

    async def close(self) -> None:
        """Leave the group."""


class Producer(Protocol):
    """Writes records; safe to use from any task of one event loop."""

    @property
    def broken(self) -> bool:
        """Whether it has given up a record, and may write none any more: another one is needed."""

    @property
    def is_full(self) -> bool:
        """Whether `room` would wait."""

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | bytes | None = None,
    ) -> asyncio.Future[int]:
        """Hand over one record at once; the future gives its offset when the broker has acknowledged it.

        The partition is the one of this number, or the one that a hash chooses, in the same way for all
        topics: of these bytes, without them of the key. Records of one partition keep their order. It raises
        BrokerError when the record was not taken.
        """

    async def room(self) -> None:
        """Wait until few enough bytes are unacknowledged, so that a slow broker costs no memory.

        Raises BrokerError if the producer is broken, or breaks meanwhile.
        """

    async def close(self) -> None:
        """Flush what is pending, for a bounded time, and close."""


class Reader(Protocol):
    """Reads chosen partitions without a group."""

    async def poll(self, wait: float) -> Sequence[Record]:
        """Return what has arrived, waiting up to `wait` seconds for it. Raises BrokerError."""

    async def read(self, starts: Mapping[Partition, Start]) -> None:
        """Read these partitions, too, from where is said; one that is read already moves there.

        The places are fixed on return. Raises BrokerError.
        """

    async def leave(self, partitions: Collection[Partition]) -> None:
        """Read these partitions no more."""

    def position(self, partition: Partition) -> int:
        """Return the offset up to which polls have returned records of a partition that is read."""

    async def close(self) -> None:
        """Close the connection."""


class Broker(Protocol):
    """Opens clients of one broker. All raise BrokerError if it does not answer."""

    async def open_producer(self, topics: Sequence[str], clock: BrokerClock) -> Producer:
        """Connect; the partitions of `topics` are known on return. Acknowledgements set the `clock`."""

    async def open_consumer(
        self, group: str, topics: Sequence[str], committable: Committable, session_timeout_ms: int
    ) -> Consumer:
        """Join a group that reads `topics` from their beginning."""

    async def open_reader(self, partitions: Collection[Partition] = (), start: Start = "end") -> Reader:
        """Read `partitions` from `start`, which is fixed on return."""


class Extent(NamedTuple):
    """What is kept of a partition: from offset `begin` up to, and without, `end`."""

    begin: int
    end: int


class Group(NamedTuple):
    """A consumer group: how many members it has, and what it has committed."""

    members: int
    committed: Mapping[Partition, int]


class Overview(Protocol):
    """Tells how far topics and consumer groups are, without taking part."""

    async def extents(self, partitions: Collection[Partition]) -> dict[Partition, Extent]:
        """Return what is kept of each partition. Raises BrokerError."""

    async def groups(self, names: Collection[str]) -> dict[str, Group]:
        """Return each of these groups; one that there is not has no members. Raises BrokerError."""

    async def group_names(self) -> list[str]:
        """Return the names of all groups. Raises BrokerError."""

    async def close(self) -> None:
        """Close the connection."""

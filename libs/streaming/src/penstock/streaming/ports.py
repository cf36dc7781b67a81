"""What the runner needs of a broker, implemented for Kafka and in memory; one suite tries both."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from penstock.messages.envelope import Headers


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


class Polled(NamedTuple):
    """What one poll brought: new records, and the partitions that were taken away before them."""

    records: Sequence[Record]
    revoked: frozenset[Partition]


Committable = Callable[[Partition], int | None]
"""Tells the offset to commit for a partition that is about to be taken away (None: nothing new)."""


class BrokerError(Exception):
    """The broker could not be reached, or refused; the message says what was tried."""


class RecordTooLarge(BrokerError):
    """The broker will never take this record, whatever is tried."""


class Consumer(Protocol):
    """A member of a consumer group."""

    @property
    def joined(self) -> bool:
        """Whether the group has given this member its share (which may be empty)."""

    async def poll(self, wait: float) -> Polled:
        """Return what has arrived, waiting up to `wait` seconds for it. Raises BrokerError."""

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the next offsets to read. Raises BrokerError; partitions no longer ours are ignored."""

    async def pause(self) -> None:
        """Let polls return no records (of partitions assigned later, too) until `resume`."""

    async def resume(self) -> None:
        """Undo `pause`."""

    async def close(self) -> None:
        """Leave the group."""


class Producer(Protocol):
    """Writes records; safe to use from any task of one event loop."""

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> asyncio.Future[None]:
        """Hand over one record at once; the future ends when the broker has acknowledged it.

        Without `partition` the key's hash chooses, in the same way for all topics. Records of one partition
        keep their order. It raises BrokerError when the record was not taken.
        """

    async def room(self) -> None:
        """Wait until few enough bytes are unacknowledged, so that a slow broker costs no memory."""

    async def close(self) -> None:
        """Flush what is pending, for a bounded time, and close."""


class Reader(Protocol):
    """Reads chosen partitions without a group, as the gateway does with its home partition."""

    async def poll(self, wait: float) -> Sequence[Record]:
        """Return what has arrived, waiting up to `wait` seconds for it. Raises BrokerError."""

    async def close(self) -> None:
        """Close the connection."""

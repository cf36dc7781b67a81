"""What the observer needs of the outside."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from penstock.observer.domain.spans import Trace
from penstock.observer.domain.usage import Amount, Cell
from penstock.streaming.admin.dead_letters import DeadLetters
from penstock.streaming.ports import Overview, Partition, Reader


class SpanRow(NamedTuple):
    """One span to keep: what it is found and judged by, and `body`, the span as it was received.

    `noted` is whether it failed or was retried; `linked` holds the ids of traces that it links to.
    """

    trace_id: bytes
    span_id: bytes
    request_id: str
    tenant: str
    service: str
    instance: str
    start_ns: int
    end_ns: int
    noted: bool
    linked: tuple[bytes, ...]
    body: bytes


class Found(NamedTuple):
    """The traces of a request, oldest first, and others that links join to them."""

    own: Sequence[Trace]
    linked: Sequence[Trace]


class Traces(Protocol):
    """Keeps spans for a while. Nothing of it fails: what cannot be kept is lost, and the log says so."""

    def add(self, rows: Sequence[SpanRow]) -> bool:
        """Take spans, and return whether there was room for them; they are kept a moment later."""

    async def of_request(self, request_id: str) -> Found:
        """Return what is kept of a request."""


class Log(Protocol):
    """The log, for who looks without taking part. All other calls raise BrokerError."""

    async def missing(self) -> str | None:
        """Return why the log cannot be read yet, or None if it can."""

    async def reader(self, ahead: int | None = None) -> Reader:
        """Open a reader; `ahead` is about how many bytes of each partition are fetched at once."""

    async def overview(self) -> Overview:
        """Open a view of how far topics and groups are."""

    def partition_of(self, key: bytes, partitions: int) -> int:
        """Return to which of so many partitions a key goes."""

    def dead_letters(self) -> AbstractAsyncContextManager[DeadLetters]:
        """Open the dead letters, for the length of the block."""


class Kept(NamedTuple):
    """Sums of usage, and up to where in the log they count."""

    positions: Mapping[Partition, int]
    cells: Mapping[Cell, Amount]


class Ledger(Protocol):
    """Keeps the sums of usage over restarts, so that the log is read once. Nothing of it fails."""

    async def load(self) -> Kept | None:
        """Return what was kept, or None if there is nothing that can be read."""

    async def save(self, kept: Kept) -> None:
        """Keep sums; what cannot be written is worked out again from the log."""

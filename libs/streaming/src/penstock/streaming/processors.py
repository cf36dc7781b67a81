"""How the runner hands events to a stage's handler: the interface and what all three ways share."""

from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.topics import Topic
from penstock.streaming.failures import Failures
from penstock.streaming.outbox import Outbox
from penstock.streaming.ports import Partition, Record
from penstock.streaming.stage import Received
from penstock.streaming.stage_instrumentation import StageMeter
from penstock.streaming.tracing import Spans


class Work(NamedTuple):
    """One decoded record to handle; `done` is called when all it caused is acknowledged."""

    record: Record
    topic: Topic
    received: Received[Event]
    done: Callable[[], None]


class RunnerContext(NamedTuple):
    """What every processor needs to do its work; `clock_ms` gives Unix milliseconds."""

    outbox: Outbox
    failures: Failures
    spans: Spans
    clock_ms: Callable[[], int]
    meter: StageMeter


class Processor(Protocol):
    """Takes work from the runner. Errors of the broker surface in `check`."""

    def submit(self, work: Work) -> None:
        """Take one event; never blocks."""

    @property
    def is_full(self) -> bool:
        """Whether no more should be polled for now."""

    def waiting(self, topic: str) -> int:
        """Return how many submitted records of a topic wait for their turn. Called from any thread."""

    def tick(self) -> None:
        """Do what is due by time; called several times a second. Raises BrokerError if sending has failed."""

    async def owning(self, partition: Partition, cause: Envelope, /) -> Envelope | None:
        """Return `cause` as the envelope of what we write for it, once we may; None if we no longer may."""

    def abandon(self, partition: Partition, subject: str, /) -> bool:
        """Forget the state of a subject one of whose records is unreadable, and return whether it fails by
        that: not if its end is decided already."""

    def assign(self, partition: Partition, note: str) -> None:
        """Take note of a partition that was given to us, with what its last owner's commit said."""

    def note(self, partition: Partition, offset: int, /) -> str:
        """Return what to keep with the commit of an offset. Called from any thread."""

    def caught_up(self, partitions: Collection[Partition], at_ms: int) -> None:
        """Take note that all has been read which partitions held at a time of the broker (Unix ms)."""

    def revoke(self, partitions: Collection[Partition]) -> None:
        """Forget what waits of partitions that were taken away; what runs may end."""

    async def drain(self, seconds: float) -> None:
        """Finish what runs within `seconds`, cancel the rest; what only waits is left to the next owner."""

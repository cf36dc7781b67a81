"""What a service tells the runner: which topics it reads, how it handles them, what it sends on."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.topics import Topic
from penstock.streaming.ports import Partition
from penstock.streaming.share import Share

RETRY_SECONDS = 20.0
"""For how long a transient error is retried, unless a stage says otherwise."""
E_co = TypeVar("E_co", bound=Event, covariant=True)
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Received(Generic[E_co]):
    """One event with its envelope and where it lay."""

    event: E_co
    envelope: Envelope
    partition: Partition
    offset: int


class Outgoing(NamedTuple):
    """An event to send; its envelope derives from the cause: same request, tenant and deadline."""

    topic: Topic
    event: Event


class Caused(NamedTuple):
    """An event to send from a batch, with the event of the batch that caused it."""

    cause: Received[Event]
    outgoing: Outgoing


EachHandler = Callable[[Received[Event]], AsyncGenerator[Outgoing, None]]
"""Handles one event, concurrently with others; what it yields is sent at once, in order."""

BatchHandler = Callable[[Sequence[Received[Event]]], Awaitable[Sequence[Caused]]]
"""Handles many events together, in their order; one batch at a time."""


class Step(NamedTuple, Generic[S]):
    """What folding one event into the state of its subject gave.

    `state` None ends the subject: from then on all its events count as handled.
    """

    state: S | None
    outgoing: Sequence[Outgoing] = ()


FoldHandler = Callable[[S | None, Received[Event]], Step[S]]
"""Folds one event into the state of its subject (request); pure, in log order, None when there is no state.

Nothing of a subject is committed before its end, so that a restart reads all of it again. A subject whose
first event seen is not its beginning was ended before the restart: answer with `Step(None)`.
"""


@dataclass(frozen=True, slots=True)
class Each:
    """Handle events one by one, at most `concurrency()` at once (0 for now: wait).

    A transient error is retried for `retry_seconds`, and no longer than the request's deadline.
    """

    handle: EachHandler
    concurrency: Callable[[], int]
    retry_seconds: float = RETRY_SECONDS


JournalHandler = Callable[[Received[Event], Sequence[Event], asyncio.Event], AsyncGenerator[Outgoing, None]]
"""Handles one event whose answer may have been begun before, by this process or another.

It gets what the journal already holds of the subject, by the rules of `penstock.messages.reading` and without
an end, and an event that is set when the partition is to be handed over. Then it yields what it still holds
and returns at once; the next owner goes on from there. Otherwise the last event it yields is TERMINAL. All it
yields goes to the journal.
"""


@dataclass(frozen=True, slots=True)
class Journaled:
    """Handle events one by one, by the one owner of their partition, who goes on where the last stopped.

    `journal` is the topic the handler writes to; it has the same key and as many partitions as the input.
    `needs_no_slot` tells of an event that waits whether it is handled at once: nobody wants its answer any
    more, for instance. `shared` is told which of the input's partitions are ours, whenever that changes.
    """

    handle: JournalHandler
    concurrency: Callable[[], int]
    journal: Topic
    needs_no_slot: Callable[[Received[Event]], bool] = lambda _received: False
    shared: Callable[[Share], None] = lambda _share: None


@dataclass(frozen=True, slots=True)
class Batch:
    """Handle events together, at most `size` at once."""

    handle: BatchHandler
    size: int = 64


@dataclass(frozen=True, slots=True)
class Fold(Generic[S]):
    """Fold the events of each subject into a state."""

    handle: FoldHandler[S]


@dataclass(frozen=True, slots=True)
class Stage:
    """One consumer group: `name` is the service's (also the group's), `inputs` what it reads.

    `failures` is where a RequestFailed goes when a record of a request cannot be handled (None: the inputs
    are not part of a request).
    """

    name: str
    inputs: tuple[Topic, ...]
    processing: Each | Journaled | Batch | Fold[Any]
    failures: Topic | None
    weigh: Callable[[Event], int] | None = None
    """How many tokens an event asks for, if its lag is to be told in tokens as well."""

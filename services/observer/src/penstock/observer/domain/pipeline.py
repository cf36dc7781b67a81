"""The stages of the line, how far each is, and which one holds the others back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from penstock.messages.topics import (
    CHAT_CANCELLATIONS,
    CHAT_GENERATED,
    CHAT_REQUESTS,
    CHAT_RESPONSES,
    CHAT_RETRIEVED,
    CHAT_TOKENIZED,
    DOCUMENTS_CHUNKED,
    DOCUMENTS_DELETED,
    DOCUMENTS_INDEXED,
    DOCUMENTS_STATES,
    USAGE_RECORDED,
    Topic,
)

WAIT_MS = 2_000
"""Work that waits longer than this in a stage shows that the stage is behind."""
INDEXING = "indexing"


class Work(Enum):
    """How long the work on a record of a stage lasts that every answer passes."""

    SHORT = "short"
    AS_LONG_AS_AN_ANSWER = "long"


@dataclass(frozen=True, slots=True)
class Role:
    """A part of the pipeline: its consumer group ("": none) and topics. `work` is None beside the line."""

    name: str
    group: str
    reads: tuple[Topic, ...]
    writes: tuple[Topic, ...]
    work: Work | None = None


ROLES = (
    Role("gateway", "", (CHAT_RESPONSES,), (CHAT_REQUESTS, CHAT_CANCELLATIONS)),
    Role("tokenization", "tokenization", (CHAT_REQUESTS,), (CHAT_TOKENIZED,), Work.SHORT),
    Role("retrieval", "retrieval", (CHAT_TOKENIZED,), (CHAT_RETRIEVED,), Work.SHORT),
    Role("generation", "generation", (CHAT_RETRIEVED,), (CHAT_GENERATED,), Work.AS_LONG_AS_AN_ANSWER),
    Role(
        "postprocessing",
        "postprocessing",
        (CHAT_GENERATED,),
        (CHAT_RESPONSES, USAGE_RECORDED),
        Work.AS_LONG_AS_AN_ANSWER,
    ),
    Role(
        "ingestion",
        "ingestion",
        (DOCUMENTS_INDEXED,),
        (DOCUMENTS_CHUNKED, DOCUMENTS_DELETED, DOCUMENTS_STATES),
    ),
    # Retrieval's other half: each index follows the documents in a group of its own.
    Role(INDEXING, "", (DOCUMENTS_CHUNKED, DOCUMENTS_DELETED), (DOCUMENTS_INDEXED,)),
)


class Slots(NamedTuple):
    """Places for requests at backends."""

    used: int
    free: int


@dataclass(frozen=True, slots=True)
class StageState:
    """How far a part of the pipeline is.

    `lag` counts records that are not committed, so those in work, too; `waiting` those that nobody has taken
    up, as its processes tell (None: they do not). `rate` is commits a second, None at a first look.
    """

    role: Role
    replicas: int
    ready: bool | None = None
    lag: int = 0
    waiting: int | None = None
    lag_tokens: int | None = None
    oldest_ms: int | None = None
    rate: float | None = None
    slots: Slots | None = None
    retries_per_s: float | None = None


class TopicState(NamedTuple):
    """How much a topic holds, how fast it grows, and how many of its records wait as dead letters."""

    topic: Topic
    records: int
    rate: float
    dead: int


class Backend(NamedTuple):
    """A model server: places for requests, and how many wait within it (None: it does not tell)."""

    name: str
    used: int
    free: int
    queued: int | None
    available: bool


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One look at everything. `jobs` counts documents by state; None where ingestion does not tell."""

    at_ms: int
    stages: Sequence[StageState]
    topics: Sequence[TopicState]
    backends: Sequence[Backend]
    jobs: Mapping[str, int] | None

    @property
    def holding_back(self) -> str | None:
        """Return the name of the stage that holds answers back."""
        return holding_back(self.stages)


def holding_back(stages: Sequence[StageState]) -> str | None:
    """Return the name of the stage that answers wait for, or None.

    That is the first stage that has work and no process; else the one in which work waits longest, if longer
    than WAIT_MS.
    """
    line = [stage for stage in stages if stage.role.work is not None]
    for stage in line:
        if stage.replicas == 0 and stage.lag > 0:
            return stage.role.name
    slowest = max(line, key=waits_ms, default=None)
    return slowest.role.name if slowest is not None and waits_ms(slowest) > WAIT_MS else None


def waits_ms(stage: StageState) -> float:
    """Return how long work that comes now would wait in a stage, as well as that is known.

    Where work is short, that is the age of the oldest record which is not done. Where it lasts as long as an
    answer, an old record shows nothing: there it is what nobody has taken up, at the rate at which work is
    done (none at all: the age again). Processes that do not tell it leave the lag, which counts more.
    """
    oldest = float(stage.oldest_ms or 0)
    if stage.role.work is Work.SHORT:
        return oldest
    waiting = stage.lag if stage.waiting is None else stage.waiting
    if waiting <= 0:
        return 0.0
    return waiting / stage.rate * 1000 if stage.rate else oldest

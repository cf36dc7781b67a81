"""From what the broker tells, at two moments, to how far the pipeline is."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from penstock.messages.topics import TOPICS, Topic
from penstock.observer.domain.pipeline import INDEXING, ROLES, Pipeline, Role, StageState, TopicState
from penstock.observer.domain.telling import Telling
from penstock.streaming.ports import Extent, Group, Partition

INDEXER = "-indexer-"
"""In the name of the group of an index (see the retrieval service)."""
GROUPS = tuple(role.group for role in ROLES if role.group)
PARTITIONS = tuple(Partition(topic.name, n) for topic in TOPICS for n in range(topic.partitions))
DEAD_PARTITIONS = tuple(Partition(topic.dlq, 0) for topic in TOPICS)
_NOBODY = Group(0, {})


class Look(NamedTuple):
    """What the broker told at a moment: `at_s` by a clock that only grows, `at_ms` in Unix time."""

    at_s: float
    at_ms: int
    extents: Mapping[Partition, Extent]
    groups: Mapping[str, Group]

    def position(self, group: Group, at: Partition) -> int:
        """Return the offset from which a group still has to do a partition."""
        begin, end = self.extents[at]
        return min(end, max(begin, group.committed.get(at, begin)))

    def lag(self, group: Group, topics: Sequence[Topic]) -> int:
        """Return how many records a group has still to do."""
        return sum(self.extents[at].end - self.position(group, at) for at in _partitions(topics))

    def group_of(self, role: Role) -> Group:
        """Return the group that does the work; of indexes, each with its own, the one that is most behind."""
        if role.name != INDEXING:
            return self.groups.get(role.group, _NOBODY)
        indexers = [group for name, group in self.groups.items() if INDEXER in name]
        living = [group for group in indexers if group.members]
        if living:
            return max(living, key=lambda group: self.lag(group, role.reads))
        # Of indexes that nobody keeps any more, the last one is the least behind.
        return min(indexers, key=lambda group: self.lag(group, role.reads), default=_NOBODY)

    def waiting_at(self) -> dict[Partition, int]:
        """Return where in each partition the oldest record lies that is not done, where there is one."""
        found: dict[Partition, int] = {}
        for role in ROLES:
            group = self.group_of(role)
            for at in _partitions(role.reads) if group is not _NOBODY else ():
                position = self.position(group, at)
                if position < self.extents[at].end:
                    found[at] = position
        return found


def pipeline(
    now: Look,
    before: Look | None,
    written_ms: Mapping[Partition, int],
    dead: Mapping[str, int],
    told: Telling,
) -> Pipeline:
    """Return how far everything is; `before` is an earlier look, for rates.

    `written_ms` holds when the oldest waiting records were written, `dead` counts dead letters by topic.
    """
    stages = [_stage(role, now, before, written_ms, told) for role in ROLES]
    topics = [_topic(topic, now, before, dead) for topic in TOPICS]
    return Pipeline(now.at_ms, stages, topics, told.backends(), told.jobs())


def _stage(
    role: Role, now: Look, before: Look | None, written_ms: Mapping[Partition, int], told: Telling
) -> StageState:
    service = "retrieval" if role.name == INDEXING else role.name
    if not role.group and role.name != INDEXING:  # the gateway: each replica reads what it needs
        rate = _rate(
            now, before, lambda look: sum(look.extents[at].end for at in _partitions(role.writes[:1]))
        )
        return StageState(role, told.processes(service), told.ready(service), rate=rate)
    group = now.group_of(role)
    oldest = [written_ms[at] for at in _partitions(role.reads) if at in written_ms]
    return StageState(
        role,
        replicas=_replicas(role, group, now),
        ready=told.ready(service),
        lag=now.lag(group, role.reads) if group is not _NOBODY else 0,
        waiting=told.waiting(role.group),
        lag_tokens=told.lag_tokens(role.group),
        oldest_ms=max(0, now.at_ms - min(oldest)) if oldest else None,
        rate=_rate(now, before, lambda look: _done(look, role)),
        slots=told.slots() if role.name == "generation" else None,
        retries_per_s=told.retries_per_s(role.group),
    )


def _replicas(role: Role, group: Group, now: Look) -> int:
    if role.name != INDEXING:
        return group.members
    return sum(INDEXER in name and group.members > 0 for name, group in now.groups.items())


def _topic(topic: Topic, now: Look, before: Look | None, dead: Mapping[str, int]) -> TopicState:
    extents = [now.extents[at] for at in _partitions([topic])]
    rate = _rate(now, before, lambda look: sum(look.extents[at].end for at in _partitions([topic])))
    return TopicState(topic, sum(end - begin for begin, end in extents), rate or 0.0, dead.get(topic.name, 0))


def _done(look: Look, role: Role) -> int:
    group = look.group_of(role)
    return sum(look.position(group, at) for at in _partitions(role.reads))


def _rate(now: Look, before: Look | None, count: Callable[[Look], int]) -> float | None:
    if before is None or now.at_s <= before.at_s:
        return None
    return max(0, count(now) - count(before)) / (now.at_s - before.at_s)


def _partitions(topics: Sequence[Topic]) -> list[Partition]:
    return [Partition(topic.name, n) for topic in topics for n in range(topic.partitions)]

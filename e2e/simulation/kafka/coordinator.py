"""The coordinator of one consumer group: members, generations, sessions, commits.

Kafka's classic protocol (its documentation, "Group Membership"; KIP-429 for cooperative rebalances): a change
makes a new generation. All members have to join it, those that do not in time are left out; the first of them
says who gets what, and each learns its share when it syncs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from e2e.simulation.kafka.link import KafkaError, Reply, Time
from penstock.streaming.ports import Partition, Position


class Joined(NamedTuple):
    """What a member says when it joins: its topics, and what it still owns of which generation."""

    topics: tuple[str, ...]
    owned: frozenset[Partition]
    generation: int


class Generation(NamedTuple):
    """What a member learns when it has joined: `members` only the leader, who assigns."""

    number: int
    member: str
    members: Mapping[str, Joined] | None


@dataclass(slots=True)
class _Member:
    joined: Joined
    session_s: float
    expires: float
    join: Reply[Generation] | None = None
    sync: Reply[frozenset[Partition]] | None = None
    share: frozenset[Partition] = frozenset()


def unknown_member() -> KafkaError:
    return KafkaError("UNKNOWN_MEMBER_ID", retriable=False)


def rebalancing() -> KafkaError:
    return KafkaError("REBALANCE_IN_PROGRESS", retriable=True)


@dataclass(slots=True)
class Coordinator:
    """One group. `state` is Empty, PreparingRebalance, CompletingRebalance or Stable."""

    name: str
    time: Time
    committing: Callable[[str, Mapping[Partition, Position]], None]
    """Called with each commit that is taken."""
    state: str = "Empty"
    generation: int = 0
    committed: dict[Partition, Position] = field(default_factory=dict)
    members: dict[str, _Member] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=count)

    def join(self, member: str, joined: Joined, session_s: float, reply: Reply[Generation]) -> None:
        """JoinGroup: answered when all members have joined. `member` is "" for one that is new."""
        if member and member not in self.members:
            reply(unknown_member())
            return
        member = member or f"{self.name}-{next(self._numbers)}"
        known = self.members.setdefault(member, _Member(joined, session_s, 0))
        known.joined, known.join = joined, reply
        self._prepare()
        self._awake(member)
        self._complete_if_all_joined()

    def sync(
        self,
        member: str,
        generation: int,
        shares: Mapping[str, frozenset[Partition]] | None,
        reply: Reply[frozenset[Partition]],
    ) -> None:
        """SyncGroup: answered when the leader has brought the `shares`."""
        known = self.members.get(member)
        if known is None:
            reply(unknown_member())
        elif generation != self.generation:
            reply(KafkaError("ILLEGAL_GENERATION", retriable=False))
        elif self.state == "PreparingRebalance":
            reply(rebalancing())
        elif self.state == "Stable":
            reply(known.share)
        else:
            known.sync = reply
            self._awake(member)
            if shares is not None:
                self._distribute(shares)

    def heartbeat(self, member: str, generation: int) -> KafkaError | None:
        """Heartbeat: None while nothing has changed."""
        if member not in self.members:
            return unknown_member()
        if generation != self.generation:
            return KafkaError("ILLEGAL_GENERATION", retriable=False)
        self._awake(member)
        return rebalancing() if self.state == "PreparingRebalance" else None

    def commit(
        self, member: str, generation: int, offsets: Mapping[Partition, Position]
    ) -> KafkaError | None:
        """OffsetCommit: refused for who is no member of this generation. It is a sign of life."""
        if member not in self.members:
            return unknown_member()
        if generation != self.generation:
            return KafkaError("ILLEGAL_GENERATION", retriable=False)
        if self.state == "CompletingRebalance":
            return rebalancing()
        self._awake(member)
        self.committed |= offsets
        self.committing(self.name, offsets)
        return None

    def leave(self, member: str) -> None:
        """LeaveGroup."""
        if self.members.pop(member, None) is not None:
            self._changed()

    def _awake(self, member: str) -> None:
        """Restart a session, which expires when nothing is heard for its length."""
        known = self.members[member]
        known.expires = self.time.now + known.session_s
        self.time.later(known.session_s, lambda: self._expire(member))

    def _expire(self, member: str) -> None:
        known = self.members.get(member)
        if known is None or self.time.now < known.expires:
            return
        if known.join is not None:  # it waits for the others, and says nothing meanwhile
            self._awake(member)
            return
        del self.members[member]
        self._changed()

    def _changed(self) -> None:
        if not self.members:
            self.state = "Empty"
            self.generation += 1
            return
        self._prepare()
        self._complete_if_all_joined()

    def _prepare(self) -> None:
        if self.state == "CompletingRebalance":
            for one in self.members.values():
                if one.sync is not None:
                    one.sync(rebalancing())
                    one.sync = None
        self.state = "PreparingRebalance"

    def _complete_if_all_joined(self) -> None:
        if self.state != "PreparingRebalance" or any(one.join is None for one in self.members.values()):
            return
        self.generation += 1
        self.state = "CompletingRebalance"
        everyone = {name: one.joined for name, one in self.members.items()}
        for place, (name, one) in enumerate(self.members.items()):
            if one.join is not None:  # all have
                one.join(Generation(self.generation, name, None if place else everyone))
            one.join = None
            self._awake(name)

    def _distribute(self, shares: Mapping[str, frozenset[Partition]]) -> None:
        self.state = "Stable"
        for name, one in self.members.items():
            one.share = shares.get(name, frozenset())
            if one.sync is not None:
                one.sync(one.share)
                one.sync = None


def cooperative_sticky(
    members: Mapping[str, Joined], partitions: Callable[[str], int]
) -> dict[str, frozenset[Partition]]:
    """Return each member's share: balanced, and as it was where that can be (KIP-54).

    A partition that has to move is nobody's until its owner has given it up and joined again (KIP-429).
    """
    topics = sorted({topic for one in members.values() for topic in one.topics})
    everything = [Partition(topic, number) for topic in topics for number in range(partitions(topic))]
    owners: dict[Partition, str] = {}
    for name, one in sorted(members.items(), key=lambda item: item[1].generation):
        owners |= dict.fromkeys(one.owned, name)  # of two that claim one, the later generation counts
    shares: dict[str, list[Partition]] = {name: [] for name in members}
    least, more = divmod(len(everything), len(members))
    moving: list[Partition] = []
    for partition in everything:
        owner = owners.get(partition)
        if owner is not None and len(shares[owner]) < least:
            shares[owner].append(partition)
        elif owner is not None and len(shares[owner]) == least and more:
            shares[owner].append(partition)
            more -= 1
        else:
            moving.append(partition)
    for partition in moving:
        poorest = min(shares, key=lambda name: (len(shares[name]), name))
        shares[poorest].append(partition)
    return {
        name: frozenset(p for p in share if owners.get(p, name) == name) for name, share in shares.items()
    }

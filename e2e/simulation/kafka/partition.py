"""The log of one partition: what was appended, what is replicated, who may append what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from e2e.simulation.kafka.link import KafkaError
from penstock.messages.envelope import Headers
from penstock.streaming.ports import Partition, Record

_KEPT = 5
"""So many batches of a producer the broker remembers."""


class Draft(NamedTuple):
    """A record before it has an offset."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class Appended(NamedTuple):
    """Where a batch stands, and what the broker has stamped on it (Unix ms)."""

    first: int
    stamp_ms: int


class _Batch(NamedTuple):
    """A batch of one producer: its number, where it stands, and where it ends."""

    number: int
    appended: Appended
    end: int


@dataclass(slots=True)
class PartitionLog:
    """One partition. Consumers see records below `high_watermark`: those that all replicas have (KIP-101).

    A batch of a producer counts once, by its sequence number (KIP-98). Without a leader nothing is appended
    or read. A new leader may lack what was not replicated; that is cut off.
    """

    partition: Partition
    records: list[Record] = field(default_factory=list)
    begin: int = 0
    high_watermark: int = 0
    has_leader: bool = True
    writers: list[int] = field(default_factory=list)
    """By offset, the producer that wrote the record."""
    forgotten: list[Record] = field(default_factory=list)
    """What retention has taken away."""
    _batches: dict[int, list[_Batch]] = field(default_factory=dict)
    """By producer, the last few."""
    _waiting: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    """For which high watermark who waits."""

    @property
    def end(self) -> int:
        """Return the offset of the next record."""
        return self.begin + len(self.records)

    def append(self, producer: int, number: int, drafts: Sequence[Draft], now_ms: int) -> Appended:
        """Append a batch, or find that it stands there already. Raises KafkaError."""
        if not self.has_leader:
            raise KafkaError("NOT_LEADER_OR_FOLLOWER", retriable=True)
        batches = self._batches.setdefault(producer, [])
        for batch in batches:
            if batch.number == number:
                return batch.appended
        if number != (batches[-1].number + 1 if batches else 0):
            raise KafkaError("OUT_OF_ORDER_SEQUENCE_NUMBER", retriable=False)
        appended = Appended(self.end, now_ms)
        for draft in drafts:
            self.records.append(Record(self.partition, self.end, *draft, now_ms))
            self.writers.append(producer)
        self._batches[producer] = [*batches[1 - _KEPT :], _Batch(number, appended, self.end)]
        return appended

    def replicate(self, up_to: int) -> None:
        """Let all replicas have what stands below an offset; waiters learn of it."""
        self.high_watermark = max(self.high_watermark, min(up_to, self.end))
        ready = [action for offset, action in self._waiting if offset <= self.high_watermark]
        self._waiting = [one for one in self._waiting if one[0] > self.high_watermark]
        for action in ready:
            action()

    def when_replicated(self, offset: int, action: Callable[[], None]) -> None:
        """Do something once the high watermark has reached an offset, or the leader has gone."""
        if self.high_watermark >= offset:
            action()
        else:
            self._waiting.append((offset, action))

    def lose_leader(self) -> None:
        """Be without a leader; those who wait for replication learn of it."""
        self.has_leader = False
        waiting, self._waiting = self._waiting, []
        for _, action in waiting:
            action()

    def elect(self, *, cut: bool) -> None:
        """Have a new leader, which lacks what was not replicated if `cut`."""
        self.has_leader = True
        if not cut:
            self.replicate(self.end)
            return
        del self.records[self.high_watermark - self.begin :]
        del self.writers[self.high_watermark :]
        for producer, batches in self._batches.items():
            self._batches[producer] = [batch for batch in batches if batch.end <= self.high_watermark]

    def read(self, offset: int, most: int) -> list[Record]:
        """Return records from an offset on that all replicas have."""
        at = max(0, offset - self.begin)
        return self.records[at : min(at + most, self.high_watermark - self.begin)]

    def delete_before(self, offset: int) -> None:
        """Retention: forget what stands before an offset."""
        offset = min(offset, self.high_watermark)
        if offset > self.begin:
            self.forgotten += self.records[: offset - self.begin]
            del self.records[: offset - self.begin]
            self.begin = offset

"""What any producer keeps count of: bytes that are not acknowledged, records sent and failed by topic."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

from penstock.messages.envelope import Headers
from penstock.streaming.ports import BrokerError
from penstock.telemetry import names
from penstock.telemetry import stage_metric_catalog as metrics
from penstock.telemetry.instruments import Attributes, watched

MAX_PENDING_BYTES = 16 << 20


class Backlog:
    """Counts for one producer, and tells it as metrics until it is closed; for one event loop.

    There is room while no more than `most` bytes are pending. `broken` says that the producer may write
    nothing any more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.broken = False
        self._pending = 0
        self._records = 0
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._sent: Counter[str] = Counter()
        self._failed: Counter[tuple[str, str]] = Counter()
        self._told = ExitStack()
        self._told.enter_context(
            watched({metrics.SENT: self._tell, metrics.PENDING: lambda: [(self._pending, {})]})
        )

    @property
    def records(self) -> int:
        """How many records are neither acknowledged nor given up."""
        return self._records

    def sent(self, topic: str, size: int) -> None:
        """Take note of a record that was handed over."""
        self._sent[topic] += 1
        self._records += 1
        self._empty.clear()
        self._pending += size
        if self._pending > self._most:
            self._room.clear()

    def settled(self, size: int) -> None:
        """Take note of one that is acknowledged or given up."""
        self._records -= 1
        if not self._records:
            self._empty.set()
        self._pending -= size
        if self._pending <= self._most:
            self._room.set()

    def give_up(self) -> None:
        """Take note that the producer is broken, and let those who wait for room know."""
        self.broken = True
        self._room.set()

    def refused(self, topic: str, error: str) -> None:
        """Count a record that was not taken."""
        self._failed[topic, error] += 1

    def lost(self, topic: str, error: str) -> None:
        """Count one that was taken, and given up."""
        self._sent[topic] -= 1
        self._failed[topic, error] += 1

    @property
    def is_full(self) -> bool:
        """Whether `room` would wait."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Wait for it. Raises BrokerError if the producer is broken."""
        await self._room.wait()
        if self.broken:
            raise BrokerError("the producer has given up a record, and may write none any more")

    async def empty(self) -> None:
        """Wait until nothing is pending."""
        await self._empty.wait()

    def close(self) -> None:
        """Tell no more."""
        self._told.close()

    def _tell(self) -> Iterator[tuple[float, Attributes]]:
        for topic, count in self._sent.copy().items():
            yield count, _sending(topic)
        for (topic, error), count in self._failed.copy().items():
            yield count, {**_sending(topic), names.ERROR_TYPE: error}


class Backlogged:
    """What of a producer its backlog knows, whichever library writes (port: Producer)."""

    def __init__(self) -> None:
        self._backlog = Backlog(MAX_PENDING_BYTES)

    @property
    def broken(self) -> bool:
        return self._backlog.broken

    @property
    def is_full(self) -> bool:
        return self._backlog.is_full

    async def room(self) -> None:
        await self._backlog.room()


def _sending(topic: str) -> Attributes:
    return {
        names.MESSAGING_SYSTEM: "kafka",
        names.MESSAGING_OPERATION_NAME: "send",
        names.MESSAGING_DESTINATION: topic,
    }


def size_of(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Return about how many bytes a record takes."""
    return len(key or b"") + len(value or b"") + sum(len(k) + len(v) for k, v in headers)

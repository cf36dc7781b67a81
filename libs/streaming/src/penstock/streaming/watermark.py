"""The contiguous watermark of one partition: out-of-order completion, in-order commit."""

from collections import deque
from typing import NamedTuple


class Arrival(NamedTuple):
    """When a record was written (Unix milliseconds, the broker's) and read (seconds, monotonic)."""

    written_ms: int
    read_s: float


UNKNOWN = Arrival(0, 0.0)


class Watermark:
    """Tracks which records of a partition are handled.

    `add` takes offsets as they are polled (rising; the log may have gaps), `done` takes them in any order.
    `committable` is the offset to commit: the next one to read after every record up to it is done.
    """

    def __init__(self, committed: int | None = None) -> None:
        self._open: deque[tuple[int, Arrival]] = deque()
        self._done: set[int] = set()
        self._next = committed
        self.position = committed or 0
        """Behind the last record that was read."""

    def add(self, offset: int, arrival: Arrival = UNKNOWN) -> None:
        """Take note of a polled record. Raises ValueError if offsets do not rise."""
        if (self._open and offset <= self._open[-1][0]) or (self._next is not None and offset < self._next):
            raise ValueError(f"offset {offset} is not beyond the last")
        self._open.append((offset, arrival))
        self.position = offset + 1

    def done(self, offset: int) -> None:
        """Take note that a record is handled and all it caused is acknowledged."""
        self._done.add(offset)
        while self._open and self._open[0][0] in self._done:
            first, _ = self._open.popleft()
            self._done.remove(first)
            self._next = first + 1

    @property
    def committable(self) -> int | None:
        """Return the offset to commit, or None when nothing is done yet."""
        return self._next

    @property
    def oldest(self) -> Arrival | None:
        """Return when the first record above the watermark arrived. Called from any thread."""
        try:
            return self._open[0][1]
        except IndexError:  # there is none, or the last one has just been done
            return None

    @property
    def in_flight(self) -> int:
        """Return how many records are polled and not below the watermark."""
        return len(self._open)

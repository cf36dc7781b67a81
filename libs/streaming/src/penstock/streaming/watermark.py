"""The contiguous watermark of one partition: out-of-order completion, in-order commit."""

from collections import OrderedDict
from typing import NamedTuple


class Arrival(NamedTuple):
    """When a record was written (Unix milliseconds, the broker's) and read (seconds, monotonic)."""

    written_ms: int
    read_s: float


UNKNOWN = Arrival(0, 0.0)


class Watermark:
    """Tracks which records of a partition are not handled yet; those that are cost no memory.

    `add` takes offsets as they are polled (rising; the log may have gaps), `done` takes them in any order.
    The attributes may be read by any thread.
    """

    def __init__(self, committed: int = 0) -> None:
        self._open: OrderedDict[int, Arrival] = OrderedDict()
        self.position = committed
        """Behind the last record that was read."""
        self.committable = committed
        """The offset to commit: of the first record that is not handled, or of the next one to read."""
        self.oldest: Arrival | None = None
        """When the first record that is not handled arrived."""

    def add(self, offset: int, arrival: Arrival = UNKNOWN) -> None:
        """Take note of a polled record. Raises ValueError if offsets do not rise."""
        if offset < self.position:
            raise ValueError(f"offset {offset} is not beyond the last")
        self._open[offset] = arrival
        self.position = offset + 1
        if len(self._open) == 1:
            self.committable, self.oldest = offset, arrival

    def done(self, offset: int) -> None:
        """Take note that a record is handled and all it caused is acknowledged."""
        self._open.pop(offset, None)
        if offset == self.committable:
            self.committable, self.oldest = next(iter(self._open.items()), (self.position, None))

    @property
    def in_flight(self) -> int:
        """Return how many records are polled and not handled."""
        return len(self._open)

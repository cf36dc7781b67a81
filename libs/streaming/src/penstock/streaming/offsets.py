"""Which offsets of the partitions we own may be committed."""

from collections.abc import Callable, Collection, Mapping
from functools import partial

from penstock.streaming.ports import Partition, Position
from penstock.streaming.watermark import UNKNOWN, Arrival, Watermark


class Offsets:
    """The watermarks of all partitions of one consumer.

    `note` tells what to keep with the commit of an offset. It and `committable` may be called from another
    thread (a rebalance asks for them); all else, but for `marks`, is for one thread.
    """

    def __init__(self) -> None:
        self._marks: dict[Partition, Watermark] = {}
        self._committed: dict[Partition, Position] = {}
        self.note: Callable[[Partition, int], str] = lambda _partition, _offset: ""

    def begin(self, partition: Partition, committed: Position) -> None:
        """Take note of a partition that was given to us, with what its last owner committed."""
        self._marks[partition] = Watermark(committed.offset)
        self._committed[partition] = committed

    def add(self, partition: Partition, offset: int, arrival: Arrival = UNKNOWN) -> Callable[[], None]:
        """Take note of a record polled from a partition of ours, and return what to call when it is handled.

        That call does nothing once the partition was dropped, even if it has come back since.
        """
        mark = self._marks[partition]
        mark.add(offset, arrival)
        return partial(mark.done, offset)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that were taken away."""
        for partition in partitions:
            self._marks.pop(partition, None)
            self._committed.pop(partition, None)

    def committable(self, partition: Partition) -> Position | None:
        """Return what to commit for a partition, or None if it is not ours."""
        mark = self._marks.get(partition)
        if mark is None:
            return None
        offset = mark.committable
        return Position(offset, self.note(partition, offset))

    @property
    def owned(self) -> Collection[Partition]:
        """Return the partitions that are ours."""
        return self._marks.keys()

    def marks(self) -> Mapping[Partition, Watermark]:
        """Return the watermarks as they are now; only to look at. Called from any thread."""
        return dict(self._marks)

    def take_news(self) -> Mapping[Partition, Position]:
        """Return what is to be committed and differs from the last call."""
        news = {
            partition: position
            for partition in self._marks
            if (position := self.committable(partition)) is not None
            and position != self._committed.get(partition)
        }
        self._committed |= news
        return news

    @property
    def has_news(self) -> bool:
        """Whether something has been handled that `take_news` has not given yet."""
        return any(
            mark.committable != self._committed_at(partition) for partition, mark in self._marks.items()
        )

    def _committed_at(self, partition: Partition) -> int:
        committed = self._committed.get(partition)
        return -1 if committed is None else committed.offset

    def retake(self, news: Mapping[Partition, Position]) -> None:
        """Offer again what `take_news` gave and could not be committed."""
        for partition in news:
            self._committed.pop(partition, None)

    @property
    def in_flight(self) -> int:
        """Return how many records are polled and not handled."""
        return sum(mark.in_flight for mark in self._marks.values())

"""Sharing what all replicas of a stage use: each has as much of it as of the partitions."""

from typing import NamedTuple


class Share(NamedTuple):
    """The numbers of the input partitions that a process owns, of how many there are."""

    owned: frozenset[int] = frozenset()
    partitions: int = 0

    def of(self, amount: int) -> int:
        """Return this process's part of an amount; the parts of all owners add up to it."""
        count = self.partitions
        return sum((number + 1) * amount // count - number * amount // count for number in self.owned)


WHOLE = Share(frozenset({0}), 1)

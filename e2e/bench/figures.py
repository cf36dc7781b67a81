"""From the replies of a load to the figures of a table. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self

import msgspec


@dataclass(frozen=True)
class Reply:
    """One streamed answer as its client saw it. Times in seconds.

    `reads` are the moments at which text arrived, each with how much came at once: in tokens where they can
    be told from the text, else in characters. `tokens` is the whole length, as the server states it.
    """

    started: float
    reads: tuple[tuple[float, int], ...]
    tokens: int

    def tokens_between(self, begin: float, end: float) -> float:
        """How many of its tokens arrived from `begin` on and before `end`."""
        whole = sum(amount for _, amount in self.reads)
        inside = sum(amount for moment, amount in self.reads if begin <= moment < end)
        return self.tokens * inside / whole if whole else 0.0

    @property
    def first(self) -> float:
        """Seconds from the request to its first text."""
        return self.reads[0][0] - self.started

    @property
    def gaps(self) -> list[float]:
        """Seconds from text to text."""
        return [later - earlier for (earlier, _), (later, _) in zip(self.reads, self.reads[1:], strict=False)]


@dataclass(frozen=True)
class Window:
    """What came between two moments of a load, and what was spent meanwhile (milliseconds by process)."""

    begin: float
    end: float
    replies: tuple[Reply, ...]
    """All of the load; those count whose first text arrived between the two moments."""
    spent_ms: Mapping[str, float]

    @property
    def tokens(self) -> float:
        """How many arrived."""
        return sum(reply.tokens_between(self.begin, self.end) for reply in self.replies)

    def begun(self) -> list[Reply]:
        """The answers whose first text arrived; at least one."""
        return [reply for reply in self.replies if self.begin <= reply.reads[0][0] < self.end]


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One arm's window as it is kept: the unit is in the name."""

    answers: int
    """Of which the first text arrived in the window."""
    seconds: float
    tokens: float
    first_ms: float
    """Median from a request to its first text."""
    first_p95_ms: float
    gap_ms: float
    """Median from text to text."""
    gap_p95_ms: float
    spent_ms: dict[str, float]
    """Processor time by process."""

    @classmethod
    def of(cls, window: Window) -> Self:
        """The figures of a window."""
        begun = window.begun()
        firsts = [1000 * reply.first for reply in begun]
        gaps = [1000 * gap for reply in begun for gap in reply.gaps] or [0.0]
        return cls(
            answers=len(begun),
            seconds=window.end - window.begin,
            tokens=window.tokens,
            first_ms=median(firsts),
            first_p95_ms=percentile(firsts, 0.95),
            gap_ms=median(gaps),
            gap_p95_ms=percentile(gaps, 0.95),
            spent_ms=dict(window.spent_ms),
        )

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds

    def per_thousand(self, name: str) -> float:
        """Milliseconds of one process for 1,000 tokens."""
        return 1000 * self.spent_ms[name] / self.tokens


Rounds = list[Round]
"""One arm's rounds, at least one."""


def middle(rounds: Rounds, figure: Callable[[Round], float]) -> float:
    """The median of a figure over the rounds."""
    return median(figure(one) for one in rounds)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed, interpolated between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

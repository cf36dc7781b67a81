"""From the replies of a load to the figures of a table. Times in seconds; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Reply:
    """One streamed answer as its client saw it.

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

    @property
    def per_token(self) -> float | None:
        """Seconds a token after the first text, however the tokens were grouped; None for a single read."""
        after = sum(tokens for _, tokens in self.reads[1:])
        return (self.reads[-1][0] - self.reads[0][0]) / after if after else None


@dataclass(frozen=True)
class Spread:
    """What is usual, and what one in twenty exceeds."""

    median: float
    p95: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return cls(median(values), percentile(values, 0.95))


@dataclass(frozen=True)
class Latency:
    """Latency of one arm at one number of streams."""

    first: Spread
    gap: Spread
    per_token: float
    tokens_per_read: float
    answers: int

    @classmethod
    def of(cls, replies: Sequence[Reply]) -> Latency:
        """The figures of some answers, at least one of which came in more than one read."""
        per_token = [rate for reply in replies if (rate := reply.per_token) is not None]
        reads = [tokens for reply in replies for _, tokens in reply.reads]
        return cls(
            first=Spread.of([reply.first for reply in replies]),
            gap=Spread.of([gap for reply in replies for gap in reply.gaps]),
            per_token=median(per_token),
            tokens_per_read=sum(reads) / len(reads),
            answers=len(replies),
        )


@dataclass(frozen=True)
class Rates:
    """Tokens a second of one arm: one value a round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The round in the middle."""
        return median(self.rounds)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed, interpolated between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def interleaved(rounds: int) -> list[tuple[int, int]]:
    """The order of two arms, 0 and 1, round by round: each goes first as often as it can.

    What drifts during a run (clocks, caches, neighbours) then falls on both alike.
    """
    return [(0, 1) if number % 2 == 0 else (1, 0) for number in range(rounds)]


def per_thousand(spent_ms: dict[str, float], tokens: float) -> dict[str, float]:
    """Milliseconds for 1,000 tokens, by the names of `spent_ms`."""
    return {name: 1000 * ms / tokens for name, ms in spent_ms.items()}


def total(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    """The sum by name."""
    summed: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            summed[name] = summed.get(name, 0.0) + value
    return summed

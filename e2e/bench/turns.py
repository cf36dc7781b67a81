"""Several arms under one load, which take turns."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import TypeVar

from e2e.bench.figures import Round, Rounds
from e2e.bench.load import Load, hold
from e2e.bench.processes import Processes
from e2e.bench.targets import Target

T = TypeVar("T")

_NUMBERS_APART = 100_000


class Turns:
    """Holds loads. Each asks under numbers of its own, so that no prompt is met again in a cache."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._firsts = count(_NUMBERS_APART, _NUMBERS_APART)

    async def take(
        self, arms: Mapping[str, Target], load: Load, rounds: int, budget_s: float | None = None
    ) -> dict[str, Rounds]:
        """Hold the load on each arm, so many rounds; none but the first begins after `budget_s` seconds."""
        found: dict[str, Rounds] = {name: [] for name in arms}
        begun = time.monotonic()
        for order in rotated(list(arms), rounds):
            if budget_s is not None and found[order[0]] and time.monotonic() - begun > budget_s:
                break
            for name in order:
                window = await hold(arms[name], load, self._processes.cpu_ms, next(self._firsts))
                found[name].append(Round.of(window))
        return found


def rotated(arms: Sequence[T], rounds: int) -> Iterator[list[T]]:
    """The order of the arms, round by round: each goes first as often as it can.

    What drifts during a run (clocks, caches, neighbours) then falls on all alike.
    """
    for number in range(rounds):
        first = number % len(arms)
        yield [*arms[first:], *arms[:first]]

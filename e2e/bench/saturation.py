"""Both arms with more tokens on offer than they can take, round by round."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from e2e.bench.figures import Rates, interleaved, per_thousand, total
from e2e.bench.load import Flood, Window, flood
from e2e.bench.plan import Rounds
from e2e.bench.processes import Processes
from e2e.bench.targets import Target

_NUMBERS_APART = 100_000


@dataclass(frozen=True)
class Saturation:
    """Rates of both arms, and what they cost: processor milliseconds for 1,000 tokens, by process."""

    direct: Rates
    through: Rates
    direct_cpu_ms: Mapping[str, float]
    through_cpu_ms: Mapping[str, float]


async def saturate(
    arms: tuple[Target, Target], plan: Flood, rounds: Rounds, processes: Processes
) -> Saturation:
    """Flood both arms, direct and through Penstock, round by round.

    Every load asks under numbers of its own, so that no prompt is met again in a cache.
    """
    windows: tuple[list[Window], list[Window]] = ([], [])
    firsts = count(_NUMBERS_APART, _NUMBERS_APART)
    begun = time.monotonic()
    for order in interleaved(rounds.most):
        if windows[0] and time.monotonic() - begun > rounds.budget_s:
            break
        for arm in order:
            windows[arm].append(await flood(arms[arm], plan, processes.cpu_ms, next(firsts)))
    direct, through = windows
    return Saturation(_rates(direct), _rates(through), _cpu(direct), _cpu(through))


def _rates(windows: Sequence[Window]) -> Rates:
    return Rates(tuple(window.rate for window in windows))


def _cpu(windows: Sequence[Window]) -> dict[str, float]:
    tokens = sum(window.tokens for window in windows)
    return per_thousand(total(window.spent_ms for window in windows), tokens)

"""What is kept of a scenario's run: the figures of its row. One JSON file a scenario, so that a long run
that is interrupted loses nothing, and one scenario can be run again by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from e2e.faults.scenarios import CALM, SCENARIOS
from e2e.faults.trial import OF_RECORDS, Result, Usage, slope

_MIB = 1 << 20


class Memory(msgspec.Struct):
    """Of one process: MiB after a third of the time, after two thirds, at the end, and their growth a minute
    over the second half."""

    process: str
    used: tuple[float, float, float]
    growth: float


class Summary(msgspec.Struct):
    """One scenario's figures; times in seconds. `sorts` and `rules` count the violations."""

    name: str
    what: str
    broken: str
    passed: bool
    seconds: float
    seed: str
    requests: int
    faults: dict[str, int]
    states: dict[str, int]
    resumed: int
    sorts: dict[str, int]
    rules: dict[str, int]
    longest_pause: float
    p99_pause: float
    memory: list[Memory]

    @property
    def of_records(self) -> int:
        """How many faults befell single records."""
        return sum(count for fault, count in self.faults.items() if fault in OF_RECORDS)

    @property
    def of_processes(self) -> int:
        """How many faults befell anything else."""
        return sum(self.faults.values()) - self.of_records


def summarised(result: Result, seed: str) -> Summary:
    """Return what is kept of a result."""
    scenario = result.scenario
    return Summary(
        name=scenario.name,
        what=scenario.what,
        broken=scenario.broken,
        passed=result.passed,
        seconds=result.seconds,
        seed=seed,
        requests=len(result.seen),
        faults=Counter(made.fault for made in result.injected),
        states=result.states,
        resumed=sum(one.resumed for one in result.seen),
        sorts=result.sorts,
        rules=Counter(violation.rule for violation in result.violations),
        longest_pause=max(result.pauses, default=0.0),
        p99_pause=result.p99_pause,
        memory=_memory(result) if scenario.name == CALM else [],
    )


def keep(folder: Path, summary: Summary) -> None:
    """Write a summary into the folder, in place of that scenario's last one."""
    folder.mkdir(parents=True, exist_ok=True)
    name = summary.name.replace(": ", "-").replace(" ", "-")
    (folder / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary)))


def forget(folder: Path) -> None:
    """Remove what was kept of earlier runs."""
    for file in folder.glob("*.json"):
        file.unlink()


def kept(folder: Path) -> list[Summary]:
    """Return the summaries in the folder, in the order of the suite."""
    order = {scenario.name: place for place, scenario in enumerate(SCENARIOS)}
    found = [msgspec.json.decode(file.read_bytes(), type=Summary) for file in folder.glob("*.json")]
    return sorted((one for one in found if one.name in order), key=lambda one: order[one.name])


def _memory(result: Result) -> list[Memory]:
    return [
        Memory(
            name,
            (_used(points, 1 / 3), _used(points, 2 / 3), _used(points, 1)),
            slope(points[len(points) // 2 :]) / _MIB,
        )
        for name, points in sorted(result.memory.items())
    ]


def _used(points: Sequence[Usage], share: float) -> float:
    """Return the MiB in the middle of the ten readings up to that share of the time."""
    end = max(1, round(len(points) * share))
    return median(used for _, _, used in points[max(0, end - 10) : end]) / _MIB

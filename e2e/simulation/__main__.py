"""``python -m e2e.simulation [--seeds N] [--seed S] [--holes]``: many seeds, or one with its story.

With `--holes` each hole of e2e.simulation.holes is put back, and so many seeds at most are run to find it.
Exit code 1 if a promise was broken, or a hole not found. A seed runs the same way each time, on any machine
with the same Python.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from e2e.simulation.holes import HOLES, hole
from e2e.simulation.quiet import quiet
from e2e.simulation.shrink import shrink
from e2e.simulation.story import lines
from e2e.simulation.trial import run

_HASHES = "PYTHONHASHSEED"
_SHOWN = 20


def main() -> None:
    """Run what the arguments say."""
    if os.environ.get(_HASHES) != "0":  # the order of sets is part of what a seed repeats
        again = [sys.executable, "-m", "e2e.simulation", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, _HASHES: "0"})  # noqa: S606  # ourselves
    parser = argparse.ArgumentParser(prog="python -m e2e.simulation", description="Simulated worlds.")
    parser.add_argument("--seeds", type=int, default=1000, help="how many (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (%(default)s)")
    parser.add_argument(
        "--seed", type=int, help="only this one, with its story, shrunk if it breaks a promise"
    )
    parser.add_argument("--holes", action="store_true", help="put each hole back, and find it")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    quiet()
    if given.seed is not None:
        sys.exit(_one(given.seed))
    if given.holes:
        sys.exit(_holes(given.seeds, given.processes))
    sys.exit(_many(range(given.first, given.first + given.seeds), given.processes))


def _one(seed: int) -> int:
    result = run(seed)
    if result.violations:
        plan, result = shrink(seed)
        _say(f"seed {seed} breaks its promises, also with these {len(plan.strikes)} faults alone:")
    for line in lines(result):
        _say(line)
    for broken in result.violations:
        _say(f"{broken.rule} ({broken.sort}) {broken.request}: {broken.found}")
    return 1 if result.violations else 0


def _many(seeds: Sequence[int], processes: int) -> int:
    began, requests, failing = time.perf_counter(), 0, list[int]()
    with ProcessPoolExecutor(processes, initializer=quiet) as executor:
        for done, result in enumerate(executor.map(_judged, seeds, chunksize=8), 1):
            seed, count, broken = result
            requests += count
            if broken:
                failing.append(seed)
                _say(f"seed {seed}: {broken}")
            if done % max(1, len(seeds) // _SHOWN) == 0 or done == len(seeds):
                seconds = time.perf_counter() - began
                _say(
                    f"{done} of {len(seeds)} seeds, {requests} requests, {len(failing)} failing,"
                    f" {seconds:.0f} s, {requests / seconds / processes:.0f} requests a second a core"
                )
    return 1 if failing else 0


def _holes(seeds: int, processes: int) -> int:
    missed = 0
    with ProcessPoolExecutor(processes, initializer=quiet) as executor:
        for name, found in zip(HOLES, executor.map(partial(_search, seeds), HOLES), strict=True):
            missed += not found
            _say(f"{name}: {found or f'not found in {seeds} seeds'}")
    return 1 if missed else 0


def _search(seeds: int, name: str) -> str:
    with hole(name):
        for seed in range(seeds):
            _, _, broken = _judged(seed)
            if broken:
                return f"found by seed {seed}: {broken}"
    return ""


def _judged(seed: int) -> tuple[int, int, str]:
    result = run(seed)
    first = next(iter(result.violations), None)
    return (
        seed,
        result.requests,
        f"{first.rule} ({first.sort}) {first.request}: {first.found}" if first else "",
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

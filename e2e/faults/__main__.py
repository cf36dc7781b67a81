"""``python -m e2e.faults [--scenario NAME …] [--minutes N] [--seed S]``: the fault suite.

`make test-faults` runs all of it, and writes docs/faults.md.

Each scenario gets a stub backend and a stack of its own in a temporary folder; all of it is stopped at the
end. What came of each one is kept in a folder (--results), and the tables are made of what lies there: a
scenario that is run again by itself replaces its own row. Exit code 1 if an invariant was broken or a broken
build was not caught.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import sys
import tempfile
from pathlib import Path
from random import Random

import uvloop
from rich.console import Console
from rich.text import Text

from e2e.bench.machine import describe
from e2e.faults import report
from e2e.faults.scenarios import SCENARIOS, Scenario, named
from e2e.faults.stand import StandError
from e2e.faults.summary import forget, keep, kept, summarised
from e2e.faults.trial import Result, on_a_stand
from penstock.devstack.root import find_root
from penstock.devstack.screen import make_console

COMMAND = "make test-faults"
_SHOWN = 20


def main() -> None:
    """Run, show the tables, and write docs/faults.md after a run of all scenarios."""
    given = _arguments()
    console = make_console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` runs
    scenarios = [named(name) for name in given.scenario] or list(SCENARIOS)
    if not given.scenario:
        forget(given.results)
    held = True
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for scenario in scenarios:
                result = runner.run(_tried(console, scenario, given))
                held = held and result is not None and result.passed
                if result is not None:
                    keep(given.results, summarised(result, given.seed))
    except KeyboardInterrupt:
        sys.exit(130)
    _show(console, given)
    sys.exit(0 if held else 1)


async def _tried(console: Console, scenario: Scenario, given: argparse.Namespace) -> Result | None:
    """Return a scenario's result, or None when its stand could not be made or broke down."""
    try:
        random = Random(f"{given.seed}-{scenario.name}")  # noqa: S311  # to be drawn again, not to be secret
        return await _one(console, scenario, given, random)
    except StandError as error:
        console.print(Text(f"    NO RESULT: {error}"), style="red")
        return None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m e2e.faults", description="Penstock's fault suite.")
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--scenario", action="append", default=[], choices=names, help="default: all")
    parser.add_argument("--minutes", type=float, help="of faults in each scenario; default: its own time")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="draws the same again")
    results = find_root() / ".cache" / "faults"
    parser.add_argument(
        "--results", type=Path, default=results, help=f"default: {results.relative_to(find_root())}"
    )
    parser.add_argument(
        "--output", type=Path, help="a Markdown file with the two marks to write the tables into"
    )
    parser.add_argument("--keep", type=Path, help="keep the stacks' folders here, with their logs")
    return parser.parse_args()


async def _one(console: Console, scenario: Scenario, given: argparse.Namespace, random: Random) -> Result:
    minutes = given.minutes or scenario.minutes
    console.print(Text(f"==> {scenario.name}: {scenario.what} ({minutes:g} min, seed {given.seed})"))

    def say(what: str) -> None:
        console.print(Text(f"    {what}"))

    seconds = 60 * minutes
    with tempfile.TemporaryDirectory(prefix="penstock-faults-") as folder:
        place = (
            given.keep / scenario.name.replace(": ", "-").replace(" ", "-") if given.keep else Path(folder)
        )
        result = await on_a_stand(scenario, place, seconds, random, say)
    _verdict(console, result)
    return result


def _verdict(console: Console, result: Result) -> None:
    verdict = "held" if result.passed else "BROKEN"
    if result.scenario.broken:
        verdict = "caught" if result.passed else "NOT CAUGHT"
    states = ", ".join(f"{count} {state}" for state, count in result.states.most_common())
    console.print(
        Text(f"    {verdict}: {len(result.injected)} faults, {len(result.seen)} requests: {states}")
    )
    if result.codes:
        codes = ", ".join(f"{count} {code}" for code, count in result.codes.most_common())
        console.print(Text(f"    failed with: {codes}"))
    for violation in result.violations[:_SHOWN]:
        console.print(Text(f"    {violation.rule} {violation.sort} {violation.request}: {violation.found}"))
    for note in sorted(set(result.notes))[:_SHOWN]:
        console.print(Text(f"    note: {note}"))


def _show(console: Console, given: argparse.Namespace) -> None:
    shown = report.tables(kept(given.results))
    for table in shown:
        console.print()
        console.print(table.rich())
    output = given.output
    if output is None and not given.scenario:
        output = find_root() / "docs" / "faults.md"
    if output is not None:
        minutes = f" MINUTES={given.minutes:g}" if given.minutes else ""
        report.rewrite(output, describe(), f"{COMMAND}{minutes} SEED={given.seed}", shown)
        console.print(f"\nWritten to {os.path.relpath(output)}", markup=False)


if __name__ == "__main__":
    main()

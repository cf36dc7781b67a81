"""``python -m e2e.bench [--quick] [--part PART] [--json FILE]``: the benchmark (`make bench`).

Starts all it needs in a temporary folder and stops it at the end.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console
from rich.text import Text

from e2e.bench import against_stub, hops, real_model, report, tracing
from e2e.bench.errors import BenchError
from e2e.bench.goals import Figures
from e2e.bench.machine import describe
from e2e.bench.plan import FULL, QUICK, Plan
from e2e.bench.stacks import ingest_sample, running_stack
from e2e.faults.stand import Setup
from penstock.devstack.errors import DevstackError
from penstock.devstack.root import find_root
from penstock.devstack.screen import make_console

PARTS = ("stub", "idle", "hops", "model", "tracing")
_SLOTS = 256


def main() -> None:
    """Measure, show the tables, and write them into docs/benchmarks.md after a whole run."""
    given = _arguments()
    parts = tuple(given.part or (PARTS[:-1] if given.quick else PARTS))
    plan, console = QUICK if given.quick else FULL, make_console()
    try:
        before = msgspec.json.decode(given.before.read_bytes(), type=Figures) if given.before else None
        _exit_on_sigterm()
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            figures = uvloop.run(_measure(console, Path(folder), plan, parts, passages=given.passages))
        _tell(console, figures, plan, before, given)
        if parts == PARTS and not given.quick:
            _write(console, figures, plan, before)
    except KeyboardInterrupt:
        _complain("interrupted; nothing was written")
        sys.exit(130)
    except (BenchError, DevstackError, OSError, msgspec.DecodeError) as error:
        _complain(str(error))
        sys.exit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench", description="Penstock's benchmark.")
    quick = os.environ.get("QUICK", "0") not in ("", "0")
    parser.add_argument(
        "--quick", action="store_true", default=quick, help="or QUICK=1: to see that it works"
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; writes no docs")
    parser.add_argument("--json", type=Path, help="a file for the raw figures")
    parser.add_argument("--before", type=Path, help="such a file of an earlier commit, to show beside")
    parser.add_argument(
        "--passages", action="store_true", help="give the real model passages to read: slower"
    )
    return parser.parse_args()


def _complain(reason: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(Text(f"bench: {reason}"))


def _exit_on_sigterm() -> None:
    """So that `finally` runs and the temporary folder goes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


async def _measure(
    console: Console, folder: Path, plan: Plan, parts: Collection[str], *, passages: bool
) -> Figures:
    stub = idle = chains = model = traced = None
    if {"stub", "idle"} & set(parts):
        console.print("==> A stack against the stub")
        async with running_stack(console, folder / "stub", Setup(slots=_SLOTS)) as stack:
            await ingest_sample(console, stack)
            if "idle" in parts:
                console.print("    idle")
                idle = await against_stub.idle(stack, plan)
            if "stub" in parts:
                stub = await against_stub.measure(console, stack, plan)
    if "hops" in parts:
        console.print("==> Hops over Kafka")
        chains = await hops.measure(console, folder / "hops", plan)
    if "model" in parts:
        console.print("==> With the real model")
        model = await real_model.measure(console, folder / "model", plan, passages=passages)
    if "tracing" in parts:
        console.print("==> With and without traces")
        traced = await tracing.measure(console, folder / "tracing", plan)
    return Figures(machine=describe(), stub=stub, idle=idle, hops=chains, model=model, tracing=traced)


def _tell(
    console: Console, figures: Figures, plan: Plan, before: Figures | None, given: argparse.Namespace
) -> None:
    console.print(f"\n{figures.machine}", markup=False)
    for table in report.tables(figures, plan, before):
        console.print()
        console.print(table.rich())
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)))


def _write(console: Console, figures: Figures, plan: Plan, before: Figures | None) -> None:
    docs = find_root() / "docs" / "benchmarks.md"
    report.rewrite(docs, figures.machine, list(report.tables(figures, plan, before)))
    console.print(f"\nWritten to {docs}", markup=False)


if __name__ == "__main__":
    main()

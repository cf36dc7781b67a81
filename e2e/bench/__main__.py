"""``python -m e2e.bench [--quick] [--output FILE]``: the benchmark (`make bench`).

Starts the stub and three stacks, one after the other, in a temporary folder; stops all of it at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

import uvloop
from rich.console import Console
from rich.text import Text

from e2e.bench import against_stub, real_model, report, tracing
from e2e.bench.errors import BenchError
from e2e.bench.machine import describe
from e2e.bench.plan import FULL, QUICK, Plan
from e2e.bench.saturation import Saturation
from e2e.bench.stacks import Interrupted, Stack, running_stub, with_stack
from e2e.bench.tables import Table
from penstock.devstack.errors import DevstackError
from penstock.devstack.root import find_root
from penstock.devstack.screen import make_console

COMMAND = "make bench"
PARTS = ("stub", "model", "tracing")


def main() -> None:
    """Run, show the tables, and write them into docs/benchmarks.md unless the run was a quick one."""
    parser = argparse.ArgumentParser(prog="python -m e2e.bench", description="Penstock's benchmark.")
    quick = os.environ.get("QUICK", "0") not in ("", "0")
    parser.add_argument("--quick", action="store_true", default=quick, help="or QUICK=1: a minute and a half")
    parser.add_argument("--output", type=Path, help="another file with the two marks to write the tables to")
    parser.add_argument("--part", choices=PARTS, help="only this part; writes no file")
    parser.add_argument(
        "--passages", action="store_true", help="give the real model passages to read: much slower"
    )
    given = parser.parse_args()
    try:
        _bench(make_console(), QUICK if given.quick else FULL, given)
    except (Interrupted, KeyboardInterrupt):
        _complain("interrupted; nothing was written")
        sys.exit(130)
    except (BenchError, DevstackError) as error:
        _complain(str(error))
        sys.exit(1)


def _complain(reason: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(Text(f"bench: {reason}"))


def _bench(console: Console, plan: Plan, given: argparse.Namespace) -> None:
    tables: list[Table] = []
    _exit_on_sigterm()
    with (
        tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        if given.part in (None, "stub"):
            tables += runner.run(_stub_part(console, Path(folder) / "stub", plan))
        if given.part in (None, "tracing"):
            tables += runner.run(_tracing_part(console, Path(folder) / "tracing", plan))
        if given.part in (None, "model"):
            tables += runner.run(_model_part(console, Path(folder) / "model", plan, passages=given.passages))
    machine = describe()
    console.print(f"\n{machine}", markup=False)
    for table in tables:
        console.print()
        console.print(table.rich())
    if given.part is None and (given.output or not given.quick):
        output = given.output or find_root() / "docs" / "benchmarks.md"
        report.rewrite(output, machine, COMMAND, tables)
        console.print(f"\nWritten to {output}", markup=False)


def _exit_on_sigterm() -> None:
    """So that `finally` runs and the temporary folder goes; a supervisor's end undoes it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


async def _stub_part(console: Console, folder: Path, plan: Plan) -> list[Table]:
    results: list[against_stub.StubResults] = []
    console.print("==> Against the stub")
    with running_stub() as stub:

        async def work(stack: Stack) -> None:
            await stack.ingest_sample()
            results.append(await against_stub.measure(stack, stub, plan))

        await with_stack(console, folder, stub.url, work)
    return report.stub_tables(results[0], plan)


async def _tracing_part(console: Console, folder: Path, plan: Plan) -> list[Table]:
    results: list[Saturation] = []
    console.print("==> With and without traces")
    with running_stub() as stub:

        async def work(stack: Stack) -> None:
            await stack.ingest_sample()
            results.append(await tracing.against_stub(stack, stub, plan))

        await with_stack(console, folder / "stub", stub.url, work)

    async def with_model(stack: Stack) -> None:
        results.append(await tracing.with_model(stack, plan))

    await with_stack(console, folder / "model", None, with_model)
    _exit_on_sigterm()
    return report.tracing_tables((results[0], results[1]), plan)


async def _model_part(console: Console, folder: Path, plan: Plan, *, passages: bool) -> list[Table]:
    results: list[real_model.ModelResults] = []
    console.print("==> With the real model")

    async def work(stack: Stack) -> None:
        results.append(await real_model.measure(stack, plan, passages=passages))

    await with_stack(console, folder, None, work)
    _exit_on_sigterm()
    console.print("    the engine alone")
    alone = await real_model.engine_alone(results[0].prompts, plan)
    return report.model_tables(results[0], alone, plan)


if __name__ == "__main__":
    main()

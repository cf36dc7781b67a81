"""`penstock db`: the services' own migration commands, run for the stack of this state folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from penstock.devstack.errors import DevstackError
from penstock.devstack.screen import make_console
from penstock.devstack.state import StateDir
from penstock.devstack.where import here

SETTINGS = {"gateway": "PENSTOCK_ACCOUNTS_DB", "ingestion": "PENSTOCK_DOCUMENTS_DB"}
"""Services that have a database, and what names it."""
commands = typer.Typer(
    help="The databases of gateway and ingestion: which revision they are of, and migrations.",
    no_args_is_help=True,
)


@dataclass(frozen=True)
class Said:
    """What a migration command printed, a line for each thing, and its exit code."""

    code: int
    lines: tuple[str, ...]


def run_jobs(state: StateDir, command: str, services: Collection[str] = tuple(SETTINGS)) -> list[Said]:
    """Runs ``penstock-<service>-db <command>`` for each service, side by side."""
    running = [
        subprocess.Popen(  # noqa: S603 the services' own entry points, beside our Python
            [Path(sys.executable).with_name(f"penstock-{service}-db"), command],
            env=os.environ | {"PENSTOCK_STATE": str(state.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for service in services
    ]
    outputs = [process.communicate()[0] for process in running]
    return [
        Said(process.returncode, tuple(output.splitlines()))
        for process, output in zip(running, outputs, strict=True)
    ]


def on_servers(environ: Mapping[str, str]) -> list[str]:
    """The services whose database is not SQLite's: they migrate nothing when they start."""
    given = {service: environ.get(setting, "") for service, setting in SETTINGS.items()}
    return [service for service, url in given.items() if url and not url.startswith("sqlite")]


def upgrade_servers(state: StateDir, say: Callable[[str], None]) -> None:
    """Migrates the databases on servers, before a stack starts; DevstackError if one cannot be."""
    for said in run_jobs(state, "upgrade", on_servers(os.environ)):
        if said.code:
            raise DevstackError(" ".join(said.lines) or f"A migration ended with exit code {said.code}")
        for line in said.lines:
            say(line)


@commands.command()
def upgrade() -> None:
    """Run the migrations that the databases lack. Exit code 1: one could not be migrated."""
    raise typer.Exit(_run_aloud("upgrade"))


@commands.command()
def current() -> None:
    """Show the databases' revisions. Exit code 1: one cannot be used; 3: migrations are to be run."""
    raise typer.Exit(_run_aloud("current"))


def _run_aloud(command: str) -> int:
    _, state = here()
    console = make_console()
    results = run_jobs(state, command)
    for line in (line for said in results for line in said.lines):
        console.print(line, markup=False)
    codes = [said.code for said in results]
    return next((code for code in codes if code not in (0, 3)), max(codes))

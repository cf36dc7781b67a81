"""``penstock doctor``: makes all checks and tells what they have found."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx2
import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from penstock.devstack.doctor import (
    backends,
    broker,
    clock,
    databases,
    disk,
    embeddings,
    lag,
    machine,
    models,
    ports,
    processes,
    settings,
    versions,
)
from penstock.devstack.doctor.finding import Finding, secrets_in
from penstock.devstack.doctor.runner import Check, Examination, examine
from penstock.devstack.doctor.scene import Needs, Scene
from penstock.devstack.doctor.words import many
from penstock.devstack.root import find_root
from penstock.devstack.state import StateDir
from penstock.devstack.where import read_key

CHECKS: Mapping[str, Check] = {
    "settings": settings.look,
    "ports": ports.look,
    "versions": versions.look,
    "processes": processes.look,
    "broker and topics": broker.look,
    "addresses of brokers": broker.addresses,
    "lag": lag.look,
    "dead letters": lag.letters,
    "model servers": backends.look,
    "embeddings": embeddings.look,
    "model files": models.look,
    "databases": databases.look,
    "disk": disk.look,
    "machine": machine.look,
    "clocks": clock.look,
}
_STYLES = {"error": "bold red", "warning": "yellow"}
_INDENT = 9


async def doctor_aloud(console: Console, *, as_json: bool, limit_s: float) -> bool:
    """Prints what is wrong; returns whether nothing needs action. ``limit_s`` is for each check."""
    for told_by_us in ("kafka", "httpx2", "httpcore2"):
        logging.getLogger(told_by_us).setLevel(logging.CRITICAL)
    state = StateDir(_state_folder())
    # No proxy setting of the user's applies to the stack's own ports.
    async with httpx2.AsyncClient(trust_env=False) as client:
        needs = Needs(limit_s=limit_s)
        scene = Scene(os.environ, find_root(), state, state.read(), client, _unix_ms, needs)
        examination = await examine(scene, CHECKS, secrets_in(os.environ, read_key(state)))
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(examination), indent=2).decode() + "\n")
    else:
        show(console, examination)
    return not examination.needs_action


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


def _state_folder() -> Path:
    """As `StackSettings` has it, which may not be usable: the settings may be what is wrong."""
    return Path(os.environ.get("PENSTOCK_STATE") or find_root() / ".penstock").absolute()


def show(console: Console, examination: Examination) -> None:
    """Each finding: where, what, and what to do; then how many there are, and what was not looked at."""
    for finding in examination.findings:
        _show(console, finding)
    for missed in examination.not_looked_at:
        console.print(Text(f"Not looked at: {missed.check} ({missed.reason})", style="dim"))
    errors = sum(finding.severity == "error" for finding in examination.findings)
    warnings = len(examination.findings) - errors
    counts = [many(number, what) for number, what in ((errors, "error"), (warnings, "warning")) if number]
    told = ", ".join(counts) or "Nothing is wrong"
    console.print(f"{told}: {len(examination.looked_at)} checks in {examination.seconds:.1f} s.")


def _show(console: Console, finding: Finding) -> None:
    head = Text.assemble(
        (f"{finding.severity:<{_INDENT}}", _STYLES[finding.severity]),
        (finding.looked_at, "bold"),
        (f"  {finding.code}", "dim"),
    )
    console.print(head)
    for line in (finding.wrong, f"-> {finding.to_do}"):
        if console.is_terminal:
            console.print(Padding(Text(line), (0, 0, 0, _INDENT), expand=False))
        else:
            console.print(Text(" " * _INDENT + line))
    console.print()

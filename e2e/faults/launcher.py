"""Starts the supervisor so that it finds some services' programs in their broken form.

The supervisor starts each service by the program beside its own Python. ``python -m e2e.faults.launcher
FOLDER ARGUMENTS`` tells it that its Python lies in FOLDER, where `write_programs` has put a program for
each service: the real one, or `e2e.faults.broken`.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from penstock.devstack import cli
from penstock.devstack.root import find_root

SERVICES = (
    "gateway",
    "tokenization",
    "retrieval",
    "generation",
    "postprocessing",
    "inference",
    "ingestion",
    "ingestion-worker",
    "observer",
)


def write_programs(folder: Path, variants: Mapping[str, str]) -> None:
    """Fill `folder`. `variants` says by service name, or by a replica's name, what is broken about it."""
    folder.mkdir(parents=True, exist_ok=True)
    real = Path(sys.executable)
    _write(folder / "python", f'exec {shlex.quote(str(real))} "$@"')
    for service in SERVICES:
        program = f"penstock-{service}"
        lines = ['case "${PENSTOCK_INSTANCE:-' + service + '}" in']
        for name, variant in variants.items():
            if name.partition("-")[0] != service:
                continue
            pattern = name if name != service else f"{service}|{service}-[0-9]*"
            broken = ["-m", "e2e.faults.broken", variant, program]
            lines.append(f"  {pattern}) exec {shlex.join([str(real), *broken])};;")
        lines += ["esac", f"exec {shlex.quote(str(real.with_name(program)))}"]
        _write(folder / program, "\n".join(lines))


def _write(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o700)


def main() -> None:
    """Run the penstock command, whose services are those in the folder."""
    folder, *arguments = sys.argv[1:]
    paths = [str(find_root()), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # for `-m e2e…` in the services
    sys.executable = str(Path(folder) / "python")
    sys.argv = ["penstock", *arguments]
    cli.app()


if __name__ == "__main__":
    main()

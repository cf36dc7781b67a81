"""``python -m e2e.mutants [--module NAME …]``: whether the tests notice when a rule is changed a little.

`make mutants` installs Cosmic Ray, runs it over all modules, and writes docs/mutants.md. What came of each
module is kept (--results), and the tables are made of what lies there: one that is run again by itself
replaces its own row. Exit code 1 if fewer than nine in ten of those mutants are noticed that could be, or if
a reason is given for one that is noticed, or is none.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from e2e.mutants import report
from e2e.mutants.modules import MODULES
from e2e.mutants.report import Tally
from e2e.mutants.session import SessionError, copied, mutants
from penstock.devstack.root import find_root
from penstock.devstack.screen import make_console


def main() -> None:
    """Run, show the tables, and write docs/mutants.md once there is something of every module."""
    given, console, root = _arguments(), make_console(), find_root()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copy is removed
    chosen = [module for module in MODULES if not given.module or module.name in given.module]
    try:
        with copied(root) as copy:
            for module in chosen:
                began = time.monotonic()
                console.print(Text(f"==> {module.path}"))
                found = mutants(module, copy, given.tool)
                report.keep(given.results, module, found)
                noticed = sum(bool(one.noticed_by) for one in found)
                minutes = (time.monotonic() - began) / 60
                console.print(Text(f"    {noticed} of {len(found)} noticed, {minutes:.1f} minutes"))
    except SessionError as error:
        console.print(Text(str(error)), style="red")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if _shown(console, root, given.results) else 1)


def _shown(console: Console, root: Path, results: Path) -> bool:
    """Show what is kept, and return whether it is as it should be."""
    found = report.kept(results)
    tally = Tally(found, report.equivalent())
    console.print(tally.counts().rich(), Text(tally.lists()))
    for name, was, becomes in tally.outdated:
        console.print(Text(f"Needs no reason: {name}: {was} becomes {becomes}"), style="red")
    if len(found) == len(MODULES):
        report.rewrite(root / "docs" / "mutants.md", tally)
    return tally.share >= report.GOAL and not tally.outdated


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m e2e.mutants", description="Mutation testing.")
    names = [module.name for module in MODULES]
    parser.add_argument("--module", action="append", default=[], choices=names, help="default: all")
    for name, what in (("tool", "Cosmic Ray's environment"), ("results", "what is kept of each module")):
        folder = find_root() / ".cache" / ("cosmic-ray" if name == "tool" else "mutants")
        shown = folder.relative_to(find_root())
        parser.add_argument(f"--{name}", type=Path, default=folder, help=f"{what}; default: {shown}")
    return parser.parse_args()


if __name__ == "__main__":
    main()

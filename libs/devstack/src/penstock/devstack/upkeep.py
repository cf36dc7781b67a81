"""`penstock restart`, `backup` and `restore`: what an operator does to a stack between its days."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from penstock.devstack import restarting
from penstock.devstack.backup import backup as keep
from penstock.devstack.backup import elsewhere
from penstock.devstack.backup import restore as bring_back
from penstock.devstack.doctor import words
from penstock.devstack.screen import make_console
from penstock.devstack.where import here


def restart(
    services: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE...]", help="A service or one replica; none: all but kafka, inference."
        ),
    ] = None,
) -> None:
    """Replace processes one by one, each when the one before is ready again: for a new version.

    Exit code 1 if one does not come back: those after it are left alone.
    """
    settings, state = here()
    console = make_console()
    restarting.restart(
        state, services or [], lambda text: console.print(f"    {text}", markup=False), settings.ready_timeout
    )


def backup(
    file: Annotated[Path, typer.Argument(help="A new file; gzipped tar.")],
) -> None:
    """Keep the state of this stack in one file: answers, documents, keys. The stack must be down."""
    _, state = here()
    console = make_console()
    size = keep(state, file, lambda text: console.print(f"    {text}", markup=False))
    for what in elsewhere(os.environ):
        console.print(f"    not in it: {what}", markup=False)
    console.print(f"{file}: {words.size(size)}; it holds keys: keep it as you keep those.", markup=False)


def restore(
    file: Annotated[Path, typer.Argument(help="What `penstock backup` has written.")],
) -> None:
    """Make the state from a backup, in a state folder that holds none. Then `penstock up`."""
    _, state = here()
    console = make_console()
    bring_back(state, file, lambda text: console.print(f"    {text}", markup=False))
    console.print(
        f"Restored to {state.folder}; the index is made anew at the next `penstock up`.", markup=False
    )

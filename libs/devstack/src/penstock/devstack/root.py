"""Where the checkout is: the folder that holds ``infra/kafka/pom.xml``."""

from __future__ import annotations

from pathlib import Path

_MARK = Path("infra/kafka/pom.xml")


def find_root() -> Path:
    """The checkout above the working directory, else the one of this file, else the working directory."""
    here = Path.cwd()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / _MARK).is_file():
            return folder
    return here

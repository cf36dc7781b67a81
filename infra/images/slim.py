"""Takes out of a virtual environment what no service needs to run: `python3 slim.py VENV`.

Tests that packages bring, headers and stubs, scripts that activate the environment, and the debugging symbols
of compiled modules (88 % of uvloop). Only the standard library: it runs before anything is installed.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("tests", "test", "testing", "__pycache__", "include")
KEPT = frozenset({"numpy/testing"})
"""Imported by what they belong to."""
BUILDING = ("numpy/f2py", "numpy/distutils")
SUFFIXES = frozenset({".pyi", ".pxd", ".pyx", ".c", ".h", ".hpp"})


def slim(environment: Path) -> None:
    """Remove it."""
    for packages in environment.glob("lib/python3.*/site-packages"):
        for folder in list(_needless(packages)):
            shutil.rmtree(folder, ignore_errors=True)
        for file in packages.rglob("*"):
            if file.suffix in SUFFIXES and file.is_file():
                file.unlink()
        _strip(packages)
    for script in [*environment.glob("bin/activate*"), *environment.glob("bin/deactivate*")]:
        script.unlink()


def _needless(packages: Path) -> Iterator[Path]:
    yield from (packages / name for name in BUILDING)
    for name in FOLDERS:
        for folder in packages.rglob(name):
            if folder.is_dir() and folder.relative_to(packages).as_posix() not in KEPT:
                yield folder


def _strip(packages: Path) -> None:
    """Strip compiled modules; not the libraries beside them (`*.libs`), whose headers auditwheel moved."""
    strip = shutil.which("strip")
    modules = [
        file for file in packages.rglob("*.so") if file.is_file() and not file.parent.name.endswith(".libs")
    ]
    if strip is not None and modules:
        subprocess.run([strip, "--strip-unneeded", *modules], check=True)  # noqa: S603  from the PATH


if __name__ == "__main__":
    slim(Path(sys.argv[1]))

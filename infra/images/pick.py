"""Picks from the workspace's lock what one member needs: `python3 pick.py MEMBER FOLDER`, in the workspace.

uv finds out which packages those are, bound to the lock's versions; lines and hashes are the lock's own.
Written to FOLDER: requirements.txt, build.txt (what builds our packages), members.txt (their folders).
Only the standard library: it runs before anything is installed.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

LOCK = "requirements.lock"
BUILD_BACKEND = "hatchling"
UV = "/uv/bin/uv"


def blocks(lock: str) -> dict[str, str]:
    """Return each package's lines of a lock, by the package's name: all versions, where markers choose."""
    found: dict[str, str] = {}
    for block in re.findall(r"^\S.*(?:\n\s.*)*\n?", lock, re.MULTILINE):
        found[name_of(block)] = found.get(name_of(block), "") + block
    return found


def name_of(requirement: str) -> str:
    """Return the normal name (PEP 503) of the package that a requirement begins with."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    if found is None:
        raise ValueError(f"not a requirement: {requirement!r}")
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def picked(lock: str, resolved: Iterable[str]) -> str:
    """Return the lock's blocks of the packages that were resolved. KeyError: the lock lacks one."""
    known = blocks(lock)
    return "".join(known[name_of(line)] for line in resolved)


def resolve(*arguments: str, stdin: str | None = None) -> list[str]:
    """Return what uv resolves to within the lock's versions, a line each."""
    command = [UV, "pip", "compile", "--quiet", "--no-annotate", "--no-header", "--constraints", LOCK]
    done = subprocess.run(  # noqa: S603 uv, which this image brought itself
        [*command, *arguments], input=stdin, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.splitlines()


def own(lines: Iterable[str]) -> Iterator[str]:
    """Yield the folders of the workspace's members among resolved lines."""
    for line in lines:
        if line.startswith("-e file://"):
            yield line.removeprefix("-e file://")


def main() -> None:
    """Write the three files."""
    member, folder = Path(sys.argv[1]).absolute(), Path(sys.argv[2])
    lock = Path(LOCK).read_text(encoding="utf-8")
    lines = resolve(f"{member}/pyproject.toml")
    members = [*own(lines), str(member)]
    folder.mkdir(parents=True, exist_ok=True)
    foreign = [line for line in lines if not line.startswith("-e ")]
    (folder / "requirements.txt").write_text(picked(lock, foreign), encoding="utf-8")
    build = resolve("-", stdin=BUILD_BACKEND)
    (folder / "build.txt").write_text(picked(lock, build), encoding="utf-8")
    (folder / "members.txt").write_text("".join(f"{path}\n" for path in members), encoding="utf-8")


if __name__ == "__main__":
    main()

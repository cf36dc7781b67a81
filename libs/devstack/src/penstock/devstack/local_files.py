"""Finds the files that a user has named: files, folders, patterns, or a list on standard input."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from penstock.devstack.errors import DevstackError

MAX_PATH = 512
_PIECE = 1 << 20


@dataclass(frozen=True)
class Item:
    """A document to be ingested: `name` tells it from others, `content` are its bytes or where they lie.

    A document of the same name replaces an earlier one. `digest` is the hex SHA-256 of its bytes.
    """

    name: str
    file_name: str
    content: Path | bytes
    digest: str


@dataclass(frozen=True)
class Skipped:
    """What was left out, and why."""

    name: str
    reason: str


def find(arguments: Iterable[str], stdin: TextIO) -> list[tuple[str, Path]]:
    """(name, path) of every file at or below the arguments, sorted by name; hidden ones are not looked at.

    A file's name is its path below the folder that was named; ``-`` reads paths from `stdin`, one a line.
    DevstackError if an argument matches nothing.
    """
    found: dict[str, Path] = {}
    for argument in _expanded(arguments, stdin):
        for name, path in _below(Path(argument)):
            if found.setdefault(name, path).resolve() != path.resolve():
                found[path.as_posix()] = path  # another folder has a file of that name
    return sorted(found.items())


def read(name: str, path: Path) -> Item | Skipped:
    """The file as an item, or why it cannot be one."""
    if len(name) > MAX_PATH:
        return Skipped(name, f"its path has more than {MAX_PATH} characters")
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        return Skipped(name, error.strerror or "not readable")
    return Item(name, path.name, path, digest.hexdigest())


def _expanded(arguments: Iterable[str], stdin: TextIO) -> Iterator[str]:
    for argument in arguments:
        if argument == "-":
            yield from filter(None, (line.rstrip("\n") for line in stdin))
        elif Path(argument).exists():
            yield argument
        else:
            matches = sorted(glob.glob(argument, recursive=True))
            if not matches:
                raise DevstackError(f"{argument} does not exist, and no file matches it")
            yield from matches


def _below(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.name, path
        return
    if not path.is_dir():
        raise DevstackError(f"{path} does not exist")
    for file in sorted(path.rglob("*")):
        below = file.relative_to(path)
        if not any(part.startswith(".") for part in below.parts) and file.is_file():
            yield below.as_posix(), file

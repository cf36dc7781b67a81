"""Finds the text files below a path and says why it leaves one out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from penstock.devstack.errors import DevstackError

SUFFIXES = (".md", ".markdown", ".txt", ".rst")
MAX_BYTES = 5_000_000

_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_MAX_TITLE = 200


@dataclass(frozen=True)
class Document:
    """A readable text; ``name`` is its path below the ingested folder, with forward slashes."""

    name: str
    title: str
    text: str


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and why."""

    name: str
    reason: str


def find_documents(path: Path) -> Iterator[Document | Skipped]:
    """Every text file at or below ``path`` in the order of their names; hidden ones are not looked at."""
    if not path.exists():
        raise DevstackError(f"{path} does not exist")
    if path.is_file():
        yield read_document(path, path.name)
        return
    for file in sorted(path.rglob("*")):
        below = file.relative_to(path)
        if any(part.startswith(".") for part in below.parts) or not file.is_file():
            continue
        yield read_document(file, below.as_posix())


def read_document(file: Path, name: str) -> Document | Skipped:
    """The file's text, or the reason why it cannot be ingested."""
    if file.suffix.lower() not in SUFFIXES:
        return Skipped(name, f"not one of {' '.join(SUFFIXES)}")
    try:
        if file.stat().st_size > MAX_BYTES:
            return Skipped(name, f"larger than {MAX_BYTES // 1_000_000} MB")
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        return Skipped(name, "not UTF-8 text")
    except OSError as error:
        return Skipped(name, error.strerror or "not readable")
    if "\x00" in text:
        return Skipped(name, "not text (it holds NUL characters)")
    if not text.strip():
        return Skipped(name, "it has no text")
    return Document(name, title_of(text, file.name), text)


def title_of(text: str, file_name: str) -> str:
    """The first Markdown heading outside of code, else the file's name."""
    heading = _HEADING.search(_FENCE.sub("", text))
    title = heading.group(1).strip() if heading else ""
    return (title or file_name)[:_MAX_TITLE]


def document_id(tenant: str, name: str) -> str:
    """The same for the same tenant and name, so that a changed file replaces its old version."""
    return blake2b(f"{tenant}\n{name}".encode(), digest_size=12).hexdigest()


def chunk_id(document: str, start: int, text: str) -> str:
    """The same for the same text at the same place of the same document."""
    return blake2b(f"{document}\n{start}\n{text}".encode(), digest_size=12).hexdigest()

"""The corpora: manuals in HTML, as Debian's packages carry them.

Fetched by apt, unpacked without installing them, and kept in .cache/eval.
"""

from __future__ import annotations

import hashlib
import html
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_ENTRY = re.compile(
    r'<a href="((?:library|tutorial|howto|reference|using|faq|extending|c-api)/[^"#]+)#[^"]*">([^<]+)</a>'
)


@dataclass(frozen=True)
class Manual:
    """A package of Debian's, the folder of its HTML below `/usr/share/doc`, and its folders with pages."""

    package: str
    folder: str
    folders: tuple[str, ...]
    title: re.Pattern[str]


PYTHON = Manual(
    "python3.11-doc",
    "python3.11/html",
    ("library", "tutorial", "howto", "reference", "using", "faq", "extending", "c-api"),
    re.compile(r"<title>(.*?)(?:&#8212;|—) Python [\d.]+ documentation</title>", re.DOTALL),
)
POSTGRESQL = Manual(
    "postgresql-doc-15", "postgresql-doc-15/html", (".",), re.compile(r"<title>(.*?)</title>", re.DOTALL)
)


class CorpusMissing(Exception):
    """The corpus cannot be had; one line says why."""


@dataclass(frozen=True)
class Page:
    """One page: its path below the documentation's root, and its title."""

    name: str
    title: str
    path: Path


def fetch(manual: Manual, cache: Path) -> Path:
    """Return the folder of a manual's HTML, fetching it the first time. Raises CorpusMissing."""
    root = cache / "usr" / "share" / "doc" / manual.folder
    if root.is_dir():
        return root
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise CorpusMissing(f"{tool} is missing: the corpus is Debian's package {manual.package}")
    cache.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(  # noqa: S603  # fixed words
        ["apt-get", "download", manual.package],  # noqa: S607  # wherever it is
        cwd=cache,
        capture_output=True,
        text=True,
        check=False,
    )
    packages = sorted(cache.glob(f"{manual.package}_*.deb"))
    if not packages:
        said = fetched.stderr.strip().splitlines() or ["it said nothing"]
        raise CorpusMissing(f"apt-get download {manual.package}: {said[-1]} (perhaps `apt-get update` first)")
    subprocess.run(["dpkg-deb", "-x", str(packages[-1]), str(cache)], check=True)  # noqa: S603, S607  # as above
    return root


def pages(manual: Manual, root: Path) -> list[Page]:
    """Return the pages, folder by folder in the order of their names."""
    found = []
    for folder in manual.folders:
        for path in sorted((root / folder).glob("*.html")):
            title = manual.title.search(path.read_text(encoding="utf-8"))
            if title is not None:
                name = path.relative_to(root).as_posix()
                found.append(Page(name, html.unescape(title.group(1)).strip(), path))
    return found


def is_held_out(page_name: str) -> bool:
    """Return whether a page of Python's library reference is kept from training, by the trainer's rule.

    The name of its file decides, without folder and suffix: of the name's SHA-256 the first byte is even.
    """
    stem = PurePosixPath(page_name).name.removesuffix(".html")
    return hashlib.sha256(stem.encode()).digest()[0] % 2 == 0


def entries(root: Path) -> Iterator[tuple[str, str]]:
    """Yield (entry, page) of Python's index; those that only make sense below another one are left out."""
    text = (root / "genindex-all.html").read_text(encoding="utf-8")
    for page, entry in _ENTRY.findall(text):
        words = html.unescape(entry).strip()
        if not words.startswith("(") and len(words) > 3:
            yield words, page

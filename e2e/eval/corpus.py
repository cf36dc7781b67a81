"""The corpus: the HTML of Python's documentation, as Debian's package python3.11-doc carries it.

Fetched by apt, unpacked without installing it, and kept in .cache/eval.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "python3.11-doc"
FOLDERS = ("library", "tutorial", "howto", "reference", "using", "faq", "extending", "c-api")
_TITLE = re.compile(r"<title>(.*?)(?:&#8212;|—) Python [\d.]+ documentation</title>", re.DOTALL)
_ENTRY = re.compile(
    r'<a href="((?:library|tutorial|howto|reference|using|faq|extending|c-api)/[^"#]+)#[^"]*">([^<]+)</a>'
)


class CorpusMissing(Exception):
    """The corpus cannot be had; one line says why."""


@dataclass(frozen=True)
class Page:
    """One page: its path below the documentation's root, and its title."""

    name: str
    title: str
    path: Path


def fetch(cache: Path) -> Path:
    """Return the folder of the HTML, fetching it the first time. Raises CorpusMissing."""
    root = cache / "usr" / "share" / "doc" / "python3.11" / "html"
    if root.is_dir():
        return root
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise CorpusMissing(f"{tool} is missing: the corpus is Debian's package {PACKAGE}")
    cache.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(  # noqa: S603  # fixed words
        ["apt-get", "download", PACKAGE],  # noqa: S607  # wherever it is
        cwd=cache,
        capture_output=True,
        text=True,
        check=False,
    )
    packages = sorted(cache.glob(f"{PACKAGE}_*.deb"))
    if not packages:
        said = fetched.stderr.strip().splitlines() or ["it said nothing"]
        raise CorpusMissing(f"apt-get download {PACKAGE}: {said[-1]} (perhaps `apt-get update` first)")
    subprocess.run(["dpkg-deb", "-x", str(packages[-1]), str(cache)], check=True)  # noqa: S603, S607  # as above
    return root


def pages(root: Path) -> list[Page]:
    """Return the pages, in the order of their names."""
    found = []
    for folder in FOLDERS:
        for path in sorted((root / folder).glob("*.html")):
            title = _TITLE.search(path.read_text(encoding="utf-8"))
            if title is not None:
                name = path.relative_to(root).as_posix()
                found.append(Page(name, html.unescape(title.group(1)).strip(), path))
    return found


def entries(root: Path) -> Iterator[tuple[str, str]]:
    """Yield (entry, page) of the index; those that only make sense below another one are left out."""
    text = (root / "genindex-all.html").read_text(encoding="utf-8")
    for page, entry in _ENTRY.findall(text):
        words = html.unescape(entry).strip()
        if not words.startswith("(") and len(words) > 3:
            yield words, page

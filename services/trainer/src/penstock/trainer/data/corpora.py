"""The manuals: Debian packages of free licences, fetched by apt, unpacked, never installed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


class CorpusMissing(RuntimeError):
    """A manual cannot be had as it was pinned; one line says why."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """One package: exact version, SHA-256 of its file, licence of its text, and where its pages are.

    `product` is what people call its subject. `folder` is below the package's root; `pages` are patterns
    there. All pages of a corpus that is `unseen` stay out of training, and those in the folder `judged` that
    are held out.
    """

    package: str
    version: str
    sha256: str
    licence: str
    product: str
    folder: str
    pages: tuple[str, ...] = ("*.html",)
    unseen: bool = False
    judged: str = ""


# Answers are judged on PostgreSQL's manual, which is left out, and on half of Python's library reference.
# fmt: off
CORPORA: tuple[Corpus, ...] = (
    Corpus(
        "git-doc", "1:2.39.5-0+deb12u3",
        "3c89668a11053a6bafade3de1f611f4613db31e082af63f43d8c5b69ad8795ec",
        "GPL-2.0-only", "Git", "usr/share/doc/git-doc",
    ),
    Corpus(
        "apache2-doc", "2.4.71-1~deb12u1",
        "a7b3d1131c1c63dbf9999b28e75f9a133d30f70492b419936bd51759ac77a01f",
        "Apache-2.0", "Apache", "usr/share/doc/apache2-doc/manual/en",
        pages=(
            "*.html", "mod/*.html", "howto/*.html", "programs/*.html", "ssl/*.html", "vhosts/*.html",
            "misc/*.html", "rewrite/*.html",
        ),
    ),
    Corpus(
        "sqlite3-doc", "3.40.1-2+deb12u2",
        "466e30d7066e2641fa13e56bc662a2ad521b8cc9c17dde9c9dac3d4f105e32f2",
        "public domain", "SQLite", "usr/share/doc/sqlite3",
        pages=("*.html", "c3ref/*.html"),
    ),
    Corpus(
        "debian-reference-en", "2.100",
        "9f31d3a17df505de09689ca255512ea58c1fc47c59bb1b0c7bf1c23362e9743f",
        "GPL-2.0-or-later", "Debian", "usr/share/debian-reference",
        pages=("ch*.html",),
    ),
    Corpus(
        "debian-faq", "11.1",
        "427426e0cfa6888622fc1d72631071cb4b5a1f86ccde722e7820bcef284de5d0",
        "GPL-2.0-or-later", "Debian", "usr/share/doc/debian/FAQ",
        pages=("*.en.html",),
    ),
    Corpus(
        "developers-reference", "12.18",
        "0dba82f6fa16e373f2a84ad07e7971aa9264ad2e7d2ae46b37edbc9c5fd57e2e",
        "GPL-2.0-or-later", "Debian", "usr/share/developers-reference",
    ),
    Corpus(
        "debian-policy", "4.6.2.0",
        "ef9d01b625c3b87c3a845c2cd1b66f1a16e9240b2b9e5bee53472a00e8457a39",
        "GPL-2.0-or-later", "Debian", "usr/share/doc/debian-policy/policy.html",
    ),
    Corpus(
        "aptitude-doc-en", "0.8.13-5",
        "ba4864ca26464bbe06acd94dc4a79402eea5d7b2d3da943d6ecce3c752bc9e84",
        "GPL-2.0-or-later", "aptitude", "usr/share/doc/aptitude/html/en",
    ),
    Corpus(
        "bind9-doc", "1:9.18.49-1~deb12u3",
        "7a3282f365576e58378b242ea7e8bd65ce227e94dd4abe8acbb5874873e7265e",
        "MPL-2.0", "BIND", "usr/share/doc/bind9-doc/arm",
    ),
    Corpus(
        "exim4-doc-html", "4.96-1",
        "f0613395fd73c3c278b619c8162c5a183e7874cbfdebe3614b4b3339d5d8a120",
        "GPL-2.0-or-later", "Exim", "usr/share/doc/exim4-doc-html/spec_html",
    ),
    Corpus(
        "python-django-doc", "3:3.2.25-0+deb12u7",
        "87307f067916df72e17180d35b7cde5c7ea6080336cda518efd7f6e66988a7ca",
        "BSD-3-Clause", "Django", "usr/share/doc/python-django-doc/html",
        pages=("topics/**/*.html", "ref/**/*.html", "howto/**/*.html", "intro/*.html", "faq/*.html"),
    ),
    Corpus(
        "python3.11-doc", "3.11.2-6+deb12u9",
        "5b3594189d6ef9a6963ce0347fd307a1cc67620ad697e144db366070e2e146be",
        "PSF-2.0", "Python", "usr/share/doc/python3.11/html",
        pages=(
            "library/*.html", "tutorial/*.html", "howto/*.html", "faq/*.html", "c-api/*.html", "using/*.html",
            "reference/*.html", "extending/*.html", "distributing/*.html", "installing/*.html",
        ),
        judged="library",
    ),
    Corpus(
        "postfix-doc", "3.7.11-0+deb12u1",
        "6b07bcc68991703acf747dc2500355bdd02aef0a048419b939752c39faf47d8d",
        "EPL-2.0 or IPL-1.0", "Postfix", "usr/share/doc/postfix/html",
        unseen=True,
    ),
)
# fmt: on

_SKIPPED = (
    "genindex", "search", "index", "changelog", "changes", "news", "oldnews", "release", "toc", "crossref",
    "sitemap", "copyright", "keyword", "ix0", "history", "chronology", "notes", "capi3ref", "fr.", "doclist",
)  # fmt: skip


def fetch(corpus: Corpus, cache: Path) -> Path:
    """Return the folder with a corpus's pages, fetching it the first time.

    Raises CorpusMissing if apt cannot fetch that version or the file is not the pinned one.
    """
    root = cache / corpus.package
    mark = root / ".unpacked"
    if not (mark.is_file() and mark.read_text() == corpus.sha256):
        deb = _downloaded(corpus, cache / "packages")
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["dpkg-deb", "-x", str(deb), str(root)], check=True)  # noqa: S603, S607  # fixed words
        mark.write_text(corpus.sha256)
    return root / corpus.folder


def held_out(page_name: str) -> bool:
    """Return whether a page of a judged folder stays out of training, so that answers can be judged on it.

    Its file name alone decides, without folder and `.html`: of the name's SHA-256 the first byte is even.
    """
    stem = page_name.rpartition("/")[2].removesuffix(".html")
    return hashlib.sha256(stem.encode()).digest()[0] % 2 == 0


def pages(corpus: Corpus, folder: Path) -> Iterator[Path]:
    """Yield the pages to learn from, by name; indexes, release notes and the like are left out."""
    found = {path for pattern in corpus.pages for path in folder.glob(pattern)}
    for path in sorted(found):
        judged = path.parent.name == corpus.judged and held_out(path.name)
        if path.is_file() and not judged and not path.name.lower().startswith(_SKIPPED):
            yield path


def _downloaded(corpus: Corpus, folder: Path) -> Path:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise CorpusMissing(f"{tool} is missing: {corpus.package} is a Debian package")
    folder.mkdir(parents=True, exist_ok=True)
    if found := _matching(corpus, folder):
        return found
    said = _apt_get(["download", f"{corpus.package}={corpus.version}"], folder)
    if found := _matching(corpus, folder):
        return found
    why = said[-1] if said else "another file came than the one that is pinned"
    raise CorpusMissing(
        f"apt-get download {corpus.package}={corpus.version}: {why}. Perhaps `apt-get update` first; a newer"
        " version needs its version and SHA-256 in corpora.py, and makes other examples."
    )


def _apt_get(words: Sequence[str], folder: Path) -> list[str]:
    """Run apt-get there, and return what it complains of."""
    done = subprocess.run(  # noqa: S603  # words of corpora.py
        ["apt-get", *words],  # noqa: S607  # wherever it is
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in done.stderr.strip().splitlines() if line.startswith("E:")]


def _matching(corpus: Corpus, folder: Path) -> Path | None:
    """Return the fetched file that has the pinned hash."""
    for path in sorted(folder.glob(f"{corpus.package}_*.deb")):
        if hashlib.sha256(path.read_bytes()).hexdigest() == corpus.sha256:
            return path
    return None

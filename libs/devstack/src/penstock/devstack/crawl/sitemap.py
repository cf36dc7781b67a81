"""Reads sitemaps (https://www.sitemaps.org/protocol.html), which anybody may have written."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from xml.parsers import expat

from penstock.devstack.crawl.bounds import check_size
from penstock.devstack.crawl.errors import FetchRefused, printable

MAX_ENTRIES = 50_000
_MAX_DEPTH = 32
_MAX_LOCATION = 8192
_GZIP = b"\x1f\x8b"
_PIECE = 65_536
_EXPANDED = 1 << 20


class InvalidSitemap(Exception):
    """It says why, in one line."""


@dataclass(frozen=True)
class Sitemap:
    """URLs as they are written, unchecked: of pages, or of further ``sitemaps``."""

    pages: list[str] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)


def parse_sitemap(body: bytes) -> Sitemap | None:
    """A urlset or a sitemapindex, maybe packed with gzip; None if it is anything else.

    InvalidSitemap if it is broken, has more than 50,000 entries, expands too much, or declares a document
    type: no sitemap needs one, and entities, which can grow without end or name a file, are declared there.
    """
    reader = _Reader()
    try:
        reader.read(_unpacked(body))
    except _NoSitemap:
        return None
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two: an encoding not known
        if not reader.begun:
            return None
        raise InvalidSitemap(f"broken XML: {error}") from error
    return reader.sitemap


class _NoSitemap(Exception):
    pass


class _Reader:
    """Takes the text of ``loc`` at urlset/url/loc and sitemapindex/sitemap/loc, and nowhere deeper:
    images and videos have locations of their own inside an entry.
    """

    def __init__(self) -> None:
        self.sitemap = Sitemap()
        self.begun = False
        self._places: dict[tuple[str, ...], list[str]] = {
            ("urlset", "url", "loc"): self.sitemap.pages,
            ("sitemapindex", "sitemap", "loc"): self.sitemap.sitemaps,
        }
        self._path: list[str] = []
        self._doctype = False
        self._text: list[str] = []
        self._length = 0

    def read(self, xml: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._on_doctype
        parser.EntityDeclHandler = self._on_entity
        parser.StartElementHandler = self._on_start
        parser.EndElementHandler = self._on_end
        parser.CharacterDataHandler = self._on_text
        for at in range(0, len(xml), _PIECE):
            parser.Parse(xml[at : at + _PIECE], False)
        parser.Parse(b"", True)

    def _on_doctype(self, *_: object) -> None:
        self._doctype = True  # HTML has one too: the root element tells

    def _on_entity(self, *_: object) -> None:
        raise InvalidSitemap("it declares XML entities")

    def _on_start(self, name: str, _: object) -> None:
        self._path.append(name.rpartition(" ")[2])
        if not self.begun:
            self._begin(self._path[0])
        if len(self._path) > _MAX_DEPTH:
            raise InvalidSitemap(f"its elements are nested deeper than {_MAX_DEPTH}")
        self._text.clear()
        self._length = 0

    def _begin(self, root: str) -> None:
        if root not in ("urlset", "sitemapindex"):
            raise _NoSitemap
        if self._doctype:
            raise InvalidSitemap("it declares a document type")
        self.begun = True

    def _on_text(self, text: str) -> None:
        if tuple(self._path) in self._places and self._length < _MAX_LOCATION:
            self._text.append(text)
            self._length += len(text)

    def _on_end(self, _: str) -> None:
        locations = self._places.get(tuple(self._path))
        location = "".join(self._text).strip()
        if locations is not None and location:
            if len(locations) >= MAX_ENTRIES:
                raise InvalidSitemap(f"more than {MAX_ENTRIES:,} entries")
            locations.append(location)
        self._path.pop()


def _unpacked(body: bytes) -> bytes:
    """The same bytes, or what gzip packed in them, within the bounds of a page."""
    if not body.startswith(_GZIP):
        return body
    unpacked = bytearray()
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    rest = body
    try:
        while not unzip.eof:
            piece = unzip.decompress(rest, _EXPANDED)
            rest = unzip.unconsumed_tail
            if not piece and not rest:
                raise InvalidSitemap("broken gzip: its end is missing")
            unpacked += piece
            check_size(len(unpacked), len(body))
    except zlib.error as error:
        raise InvalidSitemap(f"broken gzip: {printable(str(error))}") from error
    except FetchRefused as error:
        raise InvalidSitemap(error.reason) from error
    return bytes(unpacked)

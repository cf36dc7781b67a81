"""What a crawl has still to fetch, and what becomes of each answer. Pure: it fetches nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.devstack.crawl.errors import FetchRefused, printable
from penstock.devstack.crawl.fetch import Fetched
from penstock.devstack.crawl.guard import canonical, check_url
from penstock.devstack.crawl.links import links
from penstock.devstack.crawl.sitemap import InvalidSitemap, Sitemap, parse_sitemap

MAX_NESTED = 2
"""Sitemaps below the first one."""
_MAX_KNOWN = 100_000
"""URLs that are remembered: a site that invents new links without end stops growing here."""


@dataclass(frozen=True)
class Skipped:
    """A URL that gave no page, and why."""

    url: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """A URL to fetch; ``level`` counts the links, or the sitemaps, between it and the start."""

    url: str
    level: int
    is_sitemap: bool = False


class Frontier:
    """One crawl below one origin, breadth-first, every page once, at most ``limit`` pages.

    ``origin`` is where the start's redirects ended; ``depth`` is how many links a page may be away from it.
    """

    def __init__(self, origin: str, limit: int, depth: int) -> None:
        self._origin = origin
        self._limit = limit
        self._depth = depth
        self._known: set[str] = set()
        self._delivered: set[str] = set()
        self._pages: deque[Entry] = deque()
        self._sitemaps: deque[Entry] = deque()
        self._pages_left = limit
        self._sitemaps_left = limit
        self.has_more = False
        """True if a bound has cut something off."""

    def start(self, url: str, answer: Fetched) -> Iterator[Fetched | Skipped]:
        """Takes the crawl's first answer: a sitemap or a page."""
        self._known |= {canonical(url), answer.url}
        try:
            sitemap = parse_sitemap(answer.body)
        except InvalidSitemap as error:
            yield Skipped(answer.url, f"not a good sitemap: {error}")
            return
        if sitemap is not None:
            yield from self._list(sitemap, level=0)
        else:
            self._pages_left -= 1
            yield from self._page(Entry(answer.url, 0), answer)

    def next(self) -> Entry | None:
        """What to fetch now, if anything. Further sitemaps are read only once there are no pages to fetch."""
        if self._pages and self._pages_left:
            self._pages_left -= 1
            return self._pages.popleft()
        if self._sitemaps and self._pages_left and self._sitemaps_left:
            self._sitemaps_left -= 1
            return self._sitemaps.popleft()
        self.has_more |= bool(self._pages or self._sitemaps)
        return None

    def digest(self, entry: Entry, answer: Fetched) -> Iterator[Fetched | Skipped]:
        """What the answer gives the crawl's user; its links and entries are kept for later."""
        origin = check_url(answer.url).origin
        if origin != self._origin:
            yield Skipped(entry.url, f"it redirects to {origin}, which is another site")
        elif entry.is_sitemap:
            yield from self._sitemap(entry, answer)
        else:
            yield from self._page(entry, answer)

    def _page(self, entry: Entry, page: Fetched) -> Iterator[Fetched | Skipped]:
        self._known.add(page.url)
        if page.url in self._delivered:
            yield Skipped(entry.url, f"it redirects to {page.url}, which is here already")
            return
        self._delivered.add(page.url)
        yield page
        if entry.level < self._depth:
            for link in links(page):
                if check_url(link).origin == self._origin:
                    self._add(Entry(link, entry.level + 1))

    def _sitemap(self, entry: Entry, answer: Fetched) -> Iterator[Skipped]:
        try:
            sitemap = parse_sitemap(answer.body)
        except InvalidSitemap as error:
            yield Skipped(entry.url, f"not a good sitemap: {error}")
            return
        if sitemap is None:
            yield Skipped(entry.url, "not a sitemap")
            return
        yield from self._list(sitemap, entry.level)

    def _list(self, sitemap: Sitemap, level: int) -> Iterator[Skipped]:
        for text in sitemap.pages:
            yield from self._listed(text, self._depth, is_sitemap=False)
        for text in sitemap.sitemaps:
            yield from self._listed(text, level + 1, is_sitemap=True)

    def _listed(self, text: str, level: int, *, is_sitemap: bool) -> Iterator[Skipped]:
        try:
            url = canonical(text)
        except FetchRefused as error:
            yield Skipped(printable(text), error.reason)
            return
        if check_url(url).origin != self._origin:
            yield Skipped(url, f"it is not below {self._origin}")
        elif is_sitemap and level > MAX_NESTED:
            yield Skipped(url, f"sitemaps are nested deeper than {MAX_NESTED}")
        else:
            self._add(Entry(url, level, is_sitemap))

    def _add(self, entry: Entry) -> None:
        if entry.url in self._known:
            return
        if len(self._known) >= _MAX_KNOWN:
            self.has_more = True
            return
        self._known.add(entry.url)
        (self._sitemaps if entry.is_sitemap else self._pages).append(entry)

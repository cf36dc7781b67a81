"""The links of an HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from selectolax.lexbor import LexborHTMLParser

from penstock.devstack.crawl.errors import FetchRefused
from penstock.devstack.crawl.fetch import Fetched
from penstock.devstack.crawl.guard import MAX_URL, absolute

MAX_LINKS = 10_000
_HTML = ("text/html", "application/xhtml+xml")
_LINK = re.compile(rb"""<(?:a|area|base)\s(?:[^<>"']|"[^<"]*"|'[^<']*')*""", re.IGNORECASE)
_MAX_TAGS = 10 * MAX_LINKS
_MAX_FLAT = 4_000_000
_MAX_TAG = 4 * MAX_URL
_OPENS = re.compile(rb"<(?:(!--)|(?:script|style)\b)", re.IGNORECASE)
_CLOSES_COMMENT = re.compile(rb"-->")
_CLOSES_RAW = re.compile(rb"</(?:script|style)\b", re.IGNORECASE)


def links(page: Fetched) -> Iterator[str]:
    """Canonical http(s) URLs in the page's order, at most the first 10,000; none if it is not HTML.

    A link in a comment or a script is none. One whose tag has a ``<`` inside an attribute is not seen.
    """
    if page.content_type.partition(";")[0].strip().lower() not in _HTML:
        return
    tree = LexborHTMLParser(_flat(page.body))
    base = page.url
    for node in tree.css("base[href]")[:1]:
        base = _resolved(node.attributes.get("href"), page.url) or page.url
    references = dict.fromkeys(node.attributes.get("href") for node in tree.css("a[href], area[href]"))
    for reference in islice(references, MAX_LINKS):
        link = _resolved(reference, base)
        if link is not None:
            yield link


def _flat(html: bytes) -> bytes:
    """Only the tags that link, one after the other.

    The parser's time grows with the square of the depth of the elements: half a megabyte of ``<div>`` takes
    it more than a minute, and formatting elements left open multiply without end. This takes linear time.
    """
    found = islice(_LINK.finditer(_without_raw_text(html)), _MAX_TAGS)
    return b"".join(b"%b></a>" % tag.group() for tag in found if len(tag.group()) <= _MAX_TAG)[:_MAX_FLAT]


def _without_raw_text(html: bytes) -> bytes:
    """Without comments, scripts and styles, in which a tag is only text."""
    kept = []
    at = 0
    while opens := _OPENS.search(html, at):
        kept.append(html[at : opens.start()])
        closes = (_CLOSES_COMMENT if opens[1] else _CLOSES_RAW).search(html, opens.end())
        at = closes.end() if closes else len(html)
    kept.append(html[at:])
    return b"".join(kept)


def _resolved(href: str | None, base: str) -> str | None:
    """None for what is no URL of a page, such as mailto: or a broken one."""
    if href is None or len(href) > MAX_URL:
        return None
    try:
        return absolute(base, href.strip())
    except FetchRefused:
        return None

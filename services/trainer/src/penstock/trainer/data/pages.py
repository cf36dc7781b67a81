"""HTML of a manual becomes a page of blocks under headings, in the form in which Penstock cites documents."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bs4 import BeautifulSoup, Comment, Tag, XMLParsedAsHTMLWarning
from bs4.element import NavigableString

Kind = Literal["heading", "text", "item", "term", "row", "code"]

_NEVER = (
    "script, style, noscript, nav, head, svg, button, select, form, sup, footer, a.headerlink, a.permalink"
)
_FRAME = (
    "div.toc, div.toplang, div.bottomlang, div.navheader, div.navfooter, div.navigation_header, "
    "#quickview, #toc, #toctitle, #path, #page-header, #footer, div.top, div.up, div.header, "
    "div.sphinxsidebar, .toctree-wrapper, .nosearch, #comments_section, div.navfooter, div.related, "
    "div.contents, table.navigation_header, table.navigation_footer, div.fancy_toc, div.desktoponly, "
    "div.mobileonly, #hd, #ft, #sidebar"
)
_MAIN = ("[role=main]", "main", "#page-content", "div.body", "#content")
_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
# fmt: off
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "header", "hr", "html", "li", "main", "ol", "p", "section",
    "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
})
# fmt: on
# What Sphinx calls the things that it documents: `mailbox.Mailbox.close`, `c.PyList_New`.
_FULL_NAME = re.compile(r"^(?:c\.)?(?P<name>[A-Za-z_]\w*(?:\.\w+)*)$")
_TITLE_END = re.compile(r" (?:\||—|-) ")
_NUMBER = re.compile(r"^(?:(?:Chapter|Appendix|Section) )?(?:[A-Z]|\d+)?(?:\.\d+)*\.?[:.]? +(?=\S)")


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a page: for `row`, cells between bars; for `term`, what the blocks after it explain.

    `name` is the full name of the thing that a `term` is about, where the page gives one.
    """

    kind: Kind
    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under one path of headings, outermost first, the page's title left out."""

    headings: tuple[str, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A document of a corpus: its name there, its title, its sections in order."""

    corpus: str
    name: str
    title: str
    sections: tuple[Section, ...]


def read_page(html: str, corpus: str, name: str) -> Page:
    """Return a page's main content; navigation, scripts and tables of contents are left out.

    A page that says it is in another language than English has no sections.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        soup = BeautifulSoup(html, "lxml")
    if soup.html is not None and not str(soup.html.get("lang") or "en").startswith("en"):
        return Page(corpus, name, name, ())
    title = _TITLE_END.split(soup.title.get_text())[0] if soup.title else ""
    for node in [*soup.select(_NEVER), *soup.select(_FRAME)]:
        node.decompose()
    main = next((found for where in _MAIN if (found := soup.select_one(where))), soup.body)
    tops = main.select("h1") if main is not None else []
    reader = _Reader(tops[0] if len(tops) == 1 else None)
    if main is not None:
        reader.read(main)
    return Page(corpus, name, reader.title or _heading(title) or name, tuple(reader.sections()))


class _Reader:
    """Walks a tree and collects its blocks; lists may be nested, what is inline is one line."""

    def __init__(self, top: Tag | None) -> None:
        self.title = ""
        self._top = top
        self._inline: list[str] = []
        self._path: list[tuple[int, str]] = []
        self._found: list[tuple[tuple[str, ...], Block]] = []
        self._lists: list[int | None] = []
        self._bullet = ""
        self._term: str | None = None

    def read(self, node: Tag) -> None:
        """Read what is in a node."""
        for child in node.children:
            if isinstance(child, Tag):
                self._element(child)
            elif isinstance(child, NavigableString) and not isinstance(child, Comment):
                self._inline.append(str(child))
        if node.name in _BLOCKS:
            self._flush()

    def sections(self) -> Iterator[Section]:
        """Yield what was read, in order."""
        self._flush()
        blocks: list[Block] = []
        path: tuple[str, ...] = ()
        for headings, block in self._found:
            if (headings != path or block.kind == "heading") and blocks:
                yield Section(path, tuple(blocks))
                blocks = []
            path = headings
            blocks.append(block)
        if blocks:
            yield Section(path, tuple(blocks))

    def _element(self, node: Tag) -> None:
        if node.name in _HEADINGS:
            self._flush()
            if node is self._top:
                self.title = _heading(node.get_text())
            else:
                self._open(_HEADINGS[node.name], _heading(node.get_text()))
        elif node.name == "pre":
            self._flush()
            self._add("code", node.get_text().strip("\n").rstrip())
        elif node.name == "table" and (rows := _rows(node)):
            self._flush()
            for row in rows:
                self._add("row", row)
        elif node.name == "br":
            self._inline.append(" ")
        else:
            self._inside(node)

    def _inside(self, node: Tag) -> None:
        if node.name in _BLOCKS:
            self._flush()
        if node.name in ("ul", "ol"):
            self._lists.append(0 if node.name == "ol" else None)
        elif node.name == "li":
            self._bullet = self._next_bullet()
        elif node.name == "dt":
            full = _FULL_NAME.match(str(node.get("id") or ""))
            self._term = full["name"] if full else ""
        self.read(node)
        if node.name in ("ul", "ol"):
            self._lists.pop()
        elif node.name == "dt":
            self._term = None

    def _next_bullet(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is None:
            return "- "
        self._lists[-1] = number + 1
        return f"{number + 1}. "

    def _open(self, level: int, title: str) -> None:
        if not title:
            return
        self._path = [one for one in self._path if one[0] < level]
        self._path.append((level, title))
        self._add("heading", title)

    def _flush(self) -> None:
        text = " ".join("".join(self._inline).replace("¶", " ").split())
        self._inline.clear()
        if not text:
            return
        if self._term is not None:
            self._add("term", text, self._term)
        elif self._lists:
            self._add("item", "  " * (len(self._lists) - 1) + (self._bullet or "  ") + text)
        else:
            self._add("text", text)
        self._bullet = ""

    def _add(self, kind: Kind, text: str, name: str = "") -> None:
        if text.strip():
            self._found.append((tuple(title for _, title in self._path), Block(kind, text, name)))


def _rows(table: Tag) -> list[str]:
    """The rows of a table that is one, as Markdown; none if it only arranges a page."""
    if table.select_one("table, pre, h1, h2, h3, dl"):
        return []
    rows = [
        [" ".join(cell.get_text(" ").split()) for cell in row.select("td, th")] for row in table.select("tr")
    ]
    rows = [row for row in rows if any(row)]
    if len(rows) < 2 or max(map(len, rows)) < 2 or not (rows[0][0] or len(rows) > 3):
        return []
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]


def _heading(text: str) -> str:
    """One line without the chapter's number."""
    line = " ".join(text.replace("¶", " ").replace("\xa0", " ").split())
    line = line.removeprefix("- ").removeprefix("Apache ")
    return _NUMBER.sub("", line)[:120] if line[:1].isdigit() or line.startswith("Chapter") else line[:120]

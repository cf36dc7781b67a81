"""Markdown (CommonMark with tables): the source itself, its blocks found by markdown-it's line numbers."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from penstock.ingestion.adapters.parsing.builder import Builder
from penstock.ingestion.adapters.parsing.encoding import decode
from penstock.ingestion.domain.parsed import Kind, Parsed

_KINDS = {"heading_open": Kind.HEADING, "fence": Kind.CODE, "code_block": Kind.CODE, "table_open": Kind.TABLE}
_LINE_END = re.compile(r"\r\n?|\n")  # what markdown-it counts as one
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_HEADING_SOURCE = 1_000  # more of a heading than is kept, with its marks
_FRONT_TITLE = re.compile(r"^title:[ \t]*(\S.*?)[ \t]*\r?$", re.MULTILINE)


class _Mark(NamedTuple):
    """From this line on, the source is of this kind; headings have a level and a title."""

    line: int
    kind: Kind
    level: int = 0
    title: str = ""


def parse_markdown(data: bytes, file_name: str) -> Parsed:
    """Return the source with its blocks; YAML front matter is kept as code, its title used."""
    text = decode(data)
    builder = Builder(text)
    front = _FRONT_MATTER.match(text)
    body = front.end() if front else 0
    builder.add_range(Kind.CODE, 0, body)
    # Inline marks are parsed in headings only: the places of blocks need no more, and it is half the time.
    tokens = MarkdownIt("commonmark").enable("table").disable("inline").parse(text[body:])
    starts = [body, *(body + end.end() for end in _LINE_END.finditer(text[body:])), len(text)]
    marks = [_Mark(0, Kind.TEXT), *_marks(tokens), _Mark(len(starts) - 1, Kind.TEXT)]
    for mark, following in pairwise(marks):
        if mark.kind is Kind.HEADING and mark.title:
            builder.open(mark.level, mark.title)
        builder.add_range(mark.kind, starts[mark.line], starts[min(following.line, len(starts) - 1)])
    return builder.finish(file_name, _title(front[1]) if front else "")


def _marks(tokens: Sequence[Token]) -> Iterator[_Mark]:
    """Where what begins, in order: code and tables in lists and quotes too, headings only outside of them."""
    inline = MarkdownIt("commonmark")
    for at, token in enumerate(tokens):
        if token.map is None or token.nesting < 0 or token.type == "inline":
            continue
        kind = _KINDS.get(token.type, Kind.TEXT)
        if kind is Kind.HEADING and token.level == 0:
            title = _plain(inline, tokens[at + 1].content[:_HEADING_SOURCE])
            yield _Mark(token.map[0], Kind.HEADING, int(token.tag[1:]), title)
        elif kind in (Kind.CODE, Kind.TABLE):
            yield _Mark(token.map[0], kind)
        elif token.level == 0:
            yield _Mark(token.map[0], Kind.TEXT)
            continue
        else:
            continue
        yield _Mark(token.map[1], Kind.TEXT)


def _plain(inline: MarkdownIt, source: str) -> str:
    """A heading's text without its marks."""
    (token,) = inline.parseInline(source)
    return "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for child in token.children or ()
        if child.type != "html_inline"
    )


def _title(front_matter: str) -> str:
    found = _FRONT_TITLE.search(front_matter)
    return found[1].strip("\"'") if found else ""

"""Plain text as it is, and reStructuredText with its headings."""

import re

from penstock.ingestion.adapters.parsing.builder import Builder
from penstock.ingestion.adapters.parsing.encoding import decode
from penstock.ingestion.domain.parsed import Kind, Parsed

# Sections of reStructuredText: a line underlined, maybe overlined too, by one mark.
_SECTION = re.compile(
    r"^(?:(?P<over>[=\-`:.'\"~^_*+#])(?P=over){2,}[ \t]*\r?\n)?"
    r"(?P<title>[^\s].{0,200}|[ \t]\S.{0,200})\r?\n"
    r"(?P<under>[=\-`:.'\"~^_*+#])(?P=under){2,}[ \t]*$",
    re.MULTILINE,
)


def parse_plain(data: bytes, file_name: str) -> Parsed:
    """Return the text as one block."""
    text = decode(data)
    builder = Builder(text)
    builder.add_range(Kind.TEXT, 0, len(text))
    return builder.finish(file_name)


def parse_rst(data: bytes, file_name: str) -> Parsed:
    """Return reStructuredText; levels of headings by the order in which their marks come (docutils)."""
    text = decode(data)
    builder = Builder(text)
    levels: list[str] = []
    at = 0
    for section in _SECTION.finditer(text):
        over, title, under = section["over"] or "", section["title"].strip(), section["under"]
        if over not in ("", under) or _only_marks(title):
            continue
        builder.add_range(Kind.TEXT, at, section.start())
        if over + under not in levels:
            levels.append(over + under)
        builder.open(levels.index(over + under) + 1, title)
        builder.add_range(Kind.HEADING, section.start(), section.end())
        at = section.end()
    builder.add_range(Kind.TEXT, at, len(text))
    return builder.finish(file_name)


def _only_marks(title: str) -> bool:
    return not any(map(str.isalnum, title))

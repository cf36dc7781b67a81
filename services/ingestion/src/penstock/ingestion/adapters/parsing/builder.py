"""Collects the blocks of a document with the headings above each."""

import re
from dataclasses import replace
from pathlib import PurePosixPath

from penstock.ingestion.domain.parsed import (
    MAX_HEADING_CHARACTERS,
    MAX_HEADINGS,
    Block,
    Kind,
    Parsed,
    ParseFailed,
)

MAX_TEXT = 20_000_000
"""Bytes of text (UTF-8) that a document may hold."""
MAX_BLOCKS = 500_000

# Neither can be stored as UTF-8 text by everyone: lone surrogates, NUL.
_UNFIT = re.compile("[\ud800-\udfff\x00]")


class Builder:
    """Builds a `Parsed` from its beginning to its end.

    Without a source, blocks are added and their text becomes the document's. With one, blocks are places in
    it. `page` is that of the blocks to come.
    """

    def __init__(self, source: str | None = None) -> None:
        if source is not None and len(source) > MAX_TEXT:
            raise too_much_text()
        self.page: int | None = None
        self._source = source
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._path: list[tuple[int, str]] = []
        self._first: tuple[int, str] | None = None
        self._outermost = 0  # headings at least as high as the first

    @property
    def empty(self) -> bool:
        """Whether nothing was added yet."""
        return not self._blocks

    def open(self, level: int, title: str) -> None:
        """Put the blocks to come under a heading; it ends those of its level and below."""
        title = _one_line(title)
        if self._first is None:
            self._first = (level, title)
        if level <= self._first[0]:
            self._outermost += 1
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, title))

    def heading(self, level: int, title: str) -> None:
        """Add a heading, unless it is blank."""
        if title := _one_line(title):
            self.open(level, title)
            self.add(Kind.HEADING, title)

    def line(self, text: str) -> None:
        """Add a line, as of a list, to the text before it in the same section."""
        count = len(self._blocks)
        self.add(Kind.TEXT, text, "\n")
        if len(self._blocks) > max(count, 1):
            before, added = self._blocks[-2:]
            if before.kind is Kind.TEXT and (before.headings, before.page) == (added.headings, added.page):
                self._blocks[-2:] = [replace(before, end=added.end)]

    def add(self, kind: Kind, text: str, separator: str = "\n\n") -> None:
        """Add a block of text after a separator, unless it is blank."""
        # Line ends go, the indentation of the first line stays.
        text = _UNFIT.sub("\ufffd", text).rstrip().lstrip("\r\n")
        if not text.strip():
            return
        if self._length:
            self._parts.append(separator)
            self._length += len(separator)
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        if self._length > MAX_TEXT:
            raise too_much_text()
        self._append(kind, start + len(text) - len(text.lstrip()), self._length)

    def add_range(self, kind: Kind, start: int, end: int) -> None:
        """Make a block of these characters of the source, unless they are blank."""
        body = (self._source or "")[start:end]
        if stripped := body.strip():
            start += len(body) - len(body.lstrip())
            self._append(kind, start, start + len(stripped))

    def finish(self, file_name: str, title: str = "", pages: int = 0) -> Parsed:
        """Return the document.

        Its title is the heading that stands above all others, else `title`, else the first heading, else the
        file's name.
        """
        above = self._title_heading()
        title = above or _one_line(title) or (self._first[1] if self._first else "") or base_name(file_name)
        return Parsed(
            title=title,
            text="".join(self._parts) if self._source is None else self._source,
            blocks=tuple(self._cut(block, above is not None) for block in self._blocks),
            pages=pages,
        )

    def _append(self, kind: Kind, start: int, end: int) -> None:
        if len(self._blocks) >= MAX_BLOCKS:
            raise ParseFailed("file_too_large", "The file has too many parts. Split it into smaller files.")
        path = tuple(title for _, title in self._path[: MAX_HEADINGS + 1])
        if self._blocks and self._blocks[-1].headings == path:
            path = self._blocks[-1].headings  # one tuple for all blocks of a section
        self._blocks.append(Block(kind, start, end, path, self.page))

    def _title_heading(self) -> str | None:
        """The first heading, if it is of the highest level and no other is."""
        if self._first is None or self._first[0] > 1 or self._outermost > 1:
            return None
        return self._first[1]

    def _cut(self, block: Block, titled: bool) -> Block:
        """The block without the title in its path, which then has its bounded length."""
        headings = block.headings[1:] if titled else block.headings[:MAX_HEADINGS]
        return block if headings == block.headings else replace(block, headings=headings)


def base_name(file_name: str) -> str:
    """Return a file's name without folders and suffix."""
    return PurePosixPath(file_name.replace("\\", "/")).stem[:MAX_HEADING_CHARACTERS]


def too_much_text() -> ParseFailed:
    """Return the failure for more than `MAX_TEXT`."""
    return ParseFailed(
        "file_too_large", f"The file holds more than {MAX_TEXT // 1_000_000} MB of text. Split it into parts."
    )


def _one_line(title: str) -> str:
    return _UNFIT.sub("\ufffd", " ".join(title.split()))[:MAX_HEADING_CHARACTERS]

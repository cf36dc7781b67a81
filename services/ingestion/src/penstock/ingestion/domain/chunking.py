"""Cuts a document into chunks: by its structure first, then by the model's tokens. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from penstock.ingestion.domain.cutting import Cutter
from penstock.ingestion.domain.parsed import Block, Kind, Parsed

CHUNK_TOKENS = 200
OVERLAP_TOKENS = 40


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk: characters `start` to `end` of the text, no white space at its sides; `tokens` long.

    `headings` are those that all of it stands under, `page` is that of its start.
    """

    start: int
    end: int
    tokens: int
    headings: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True, slots=True)
class _Section:
    """Characters under one path of headings, on one page where there are pages.

    `bare` if there is nothing but one heading or line.
    """

    start: int
    end: int
    headings: tuple[str, ...]
    page: int | None = None
    bare: bool = False


def chunk(
    parsed: Parsed,
    borders: Sequence[tuple[int, int]],
    size: int = CHUNK_TOKENS,
    overlap: int = OVERLAP_TOKENS,
) -> list[Piece]:
    """Return chunks of at most `size` tokens; inside a section each begins at most `overlap` before its
    forerunner's end.

    `borders` are the (start, stop) characters of the tokens of `parsed.text`, in order. A chunk keeps to one
    section and one page, except that small neighbours under one parent share one, and that a heading without
    text goes with the section below it. Every character but white space is in a chunk; one is longer than
    `size` only where more tokens than that share a character. The same input gives the same chunks.
    """
    if not 0 <= overlap < size:
        raise ValueError("overlap must be at least 0 and less than size")
    tokens = _Tokens(borders)
    cutter = Cutter(parsed, size, overlap)
    starts = [block.start for block in parsed.blocks]
    pieces: list[Piece] = []
    for section in _merged(_joined(_sections(parsed)), tokens, size):
        start, end = _trimmed(parsed.text, section)
        for span in cutter.cut(start, end, tokens.inside(start, end)):
            at = bisect_right(starts, span.start) - 1
            page = parsed.blocks[max(at, 0)].page if parsed.blocks else None
            pieces.append(Piece(span.start, span.end, span.tokens, section.headings, page))
    return pieces


class _Tokens:
    """The tokens of the text; they may overlap, as those of one character's bytes do."""

    def __init__(self, borders: Sequence[tuple[int, int]]) -> None:
        self._borders = borders
        self._starts = [start for start, _ in borders]
        self._reached = list(accumulate((stop for _, stop in borders), max))

    def inside(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the tokens that have characters there, cut to those."""
        found = self._borders[self._first(start) : self._last(end)]
        return [(max(a, start), min(b, end)) for a, b in found if b > start]

    def count(self, start: int, end: int) -> int:
        """Return how many those are at most."""
        return max(self._last(end) - self._first(start), 0)

    def _first(self, start: int) -> int:
        return bisect_right(self._reached, start)

    def _last(self, end: int) -> int:
        return bisect_left(self._starts, end)


def _sections(parsed: Parsed) -> list[_Section]:
    """The text from its first to its last character: a section begins at each heading, new path and page."""
    opening: list[list[Block]] = []
    for block in parsed.blocks:
        last = opening[-1][-1] if opening else None
        place = (block.headings, block.page)
        if last is None or block.kind is Kind.HEADING or place != (last.headings, last.page):
            opening.append([])
        opening[-1].append(block)
    if not opening:
        return [_Section(0, len(parsed.text), ())]
    starts = [0, *(blocks[0].start for blocks in opening[1:]), len(parsed.text)]
    return [
        _Section(start, end, blocks[0].headings, blocks[0].page, _is_bare(parsed.text, blocks))
        for (start, end), blocks in zip(pairwise(starts), opening, strict=True)
    ]


def _is_bare(text: str, blocks: Sequence[Block]) -> bool:
    """Whether there is only a heading, or the one line of source code that opens a definition."""
    first = blocks[0]
    opens = first.kind is Kind.CODE and bool(first.headings) and "\n" not in text[first.start : first.end]
    return len(blocks) == 1 and (first.kind is Kind.HEADING or opens)


def _joined(sections: Sequence[_Section]) -> Iterator[_Section]:
    """Put a heading without text at the beginning of the section below it, and under its path."""
    start: int | None = None
    for at, section in enumerate(sections):
        begin = section.start if start is None else start
        following = sections[at + 1] if at + 1 < len(sections) else None
        depth = len(section.headings)
        if section.bare and following is not None and following.headings[:depth] == section.headings:
            start = begin
        else:
            start = None
            yield replace(section, start=begin)


def _merged(sections: Iterable[_Section], tokens: _Tokens, size: int) -> Iterator[_Section]:
    """Make small neighbours under one parent one section, as long as they are one chunk together."""
    group: list[_Section] = []
    for section in sections:
        small = tokens.count(section.start, section.end) <= size // 2
        if group and not (
            small
            and section.headings[:-1] == group[-1].headings[:-1]
            and len(section.headings) == len(group[-1].headings)
            and section.page == group[-1].page
            and tokens.count(group[0].start, section.end) <= size
        ):
            yield _one(group)
            group = []
        group.append(section)
        if not small:
            yield _one(group)
            group = []
    if group:
        yield _one(group)


def _one(group: Sequence[_Section]) -> _Section:
    headings = group[0].headings
    if any(section.headings != headings for section in group):
        headings = headings[:-1]  # siblings
    return _Section(group[0].start, group[-1].end, headings, group[0].page)


def _trimmed(text: str, section: _Section) -> tuple[int, int]:
    body = text[section.start : section.end]
    return section.start + len(body) - len(body.lstrip()), section.start + len(body.rstrip())

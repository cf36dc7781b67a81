"""Cuts one section by tokens, at the best border there is: paragraphs, sentences, rows of a table. Pure."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from penstock.ingestion.domain.parsed import Block, Kind, Parsed

# Bounded, so that a file of nothing but white space is no work without end.
_SPACE = re.compile(r"\s{0,200}")
_GAP = 200
_SENTENCE_END = (".", "!", "?", "…", ":", '."', ".)", "?)", "!)", "。", "！", "？")

# How good a cut is.
_WHOLE = 5  # a table or code follows that would not fit whole
_PARAGRAPH = 4
_SENTENCE = 3  # or a row, or a line of code
_LINE = 2
_WORD = 1
_NONE = 0
_BROKEN = -1  # inside of a heading, a row or a line of code
_HEADING_ALONE = -2  # a heading would stand at the chunk's end


class Span(NamedTuple):
    """Characters `start` to `end` of the text, no white space at its sides; `tokens` long."""

    start: int
    end: int
    tokens: int


class Cutter:
    """Cuts sections of one document."""

    def __init__(self, parsed: Parsed, size: int, overlap: int) -> None:
        self._text = parsed.text
        self._blocks = parsed.blocks
        self._starts = [block.start for block in parsed.blocks]
        self._size = size
        self._overlap = overlap

    def cut(self, start: int, end: int, tokens: Sequence[tuple[int, int]]) -> list[Span]:
        """Return the chunks of characters `start` to `end`, whose tokens these are."""
        cuts = _cuts(tokens)
        spans: list[Span] = []
        begin = 0  # index into cuts
        while begin < len(cuts):
            stop = self._end(tokens, cuts, begin)
            first, last = cuts[begin], cuts[stop] if stop < len(cuts) else len(tokens)
            at = tokens[first][0] if first else start
            to = tokens[last][0] if last < len(tokens) else end
            span = self._span(at, to, last - first)
            _append(spans, span)
            if stop >= len(cuts):
                break
            begin = self._next_begin(tokens, cuts, begin, stop)
        return spans

    def _end(self, tokens: Sequence[tuple[int, int]], cuts: Sequence[int], begin: int) -> int:
        """The cut at which the chunk that starts at `begin` ends; `len(cuts)` is the section's end."""
        first = cuts[begin]
        if len(tokens) - first <= self._size:
            return len(cuts)
        reach = tokens[first + self._size][0]
        best, last = (_HEADING_ALONE - 1, 0), begin + 1
        for index, length in _within(cuts, begin, self._size):
            last = index
            # Longer than the overlap, so that the next chunk gets further, and long enough to be worth it.
            if length > max(self._overlap, self._size // 4):
                border = self._border(tokens[cuts[index]][0], reach)
                if length > self._size // 2 or border == _WHOLE:
                    best = max(best, (border, index))
        return best[1] or last  # else many tokens share one character here

    def _next_begin(
        self, tokens: Sequence[tuple[int, int]], cuts: Sequence[int], begin: int, end: int
    ) -> int:
        """Where the next chunk starts: the best border in the last `overlap` tokens, the earliest of equals.

        There is no overlap where the chunk would begin amid a row for it.
        """
        candidates = [
            (self._border(tokens[cuts[index]][0]), -index)
            for index in range(bisect_left(cuts, cuts[end] - self._overlap, begin + 1, end), end)
        ]
        border, index = max(candidates, default=(_BROKEN, 0))
        if not candidates or (border <= _BROKEN < self._border(tokens[cuts[end]][0])):
            return end
        return -index

    def _border(self, at: int, reach: int | None = None) -> int:
        """How good a cut before `at` is, for a chunk that can reach as far as `reach`."""
        before, after = self._gap(at)
        index = bisect_right(self._starts, after) - 1
        block = self._blocks[index] if index >= 0 else None
        if block is not None and block.kind is not Kind.TEXT and block.start < after < block.end:
            return self._inner_border(block, before, after)
        begins = block is not None and block.start == after
        previous = index - 1 if begins else index
        if previous >= 0 and self._blocks[previous].kind is Kind.HEADING:
            return _HEADING_ALONE
        if begins and block is not None and block.kind is not Kind.TEXT:
            return _WHOLE if reach is not None and block.end > reach else _PARAGRAPH
        return self._prose_border(before, after)

    def _inner_border(self, block: Block, before: int, after: int) -> int:
        lines = self._text.count("\n", before, after)
        if not lines or block.kind is Kind.HEADING:
            return _BROKEN
        return _PARAGRAPH if lines > 1 else _SENTENCE

    def _prose_border(self, before: int, after: int) -> int:
        lines = self._text.count("\n", before, after)
        if lines > 1:
            return _PARAGRAPH
        if before == after:
            return _NONE
        if self._text.endswith(_SENTENCE_END, max(0, before - 2), before):
            return _SENTENCE
        return _LINE if lines else _WORD

    def _gap(self, at: int) -> tuple[int, int]:
        """The white space around `at`: from where to where."""
        space = _SPACE.match(self._text, at)
        after = space.end() if space else at
        body = self._text[max(0, at - _GAP) : at]
        return at - len(body) + len(body.rstrip()), after

    def _span(self, start: int, end: int, tokens: int) -> Span | None:
        body = self._text[start:end]
        stripped = body.strip()
        if not stripped:
            return None
        start += len(body) - len(body.lstrip())
        return Span(start, start + len(stripped), tokens)


def _cuts(tokens: Sequence[tuple[int, int]]) -> list[int]:
    """Token indices at which the text may be cut: no earlier token reaches into that token's characters."""
    cuts: list[int] = []
    reached = 0
    for index, (start, stop) in enumerate(tokens):
        if index == 0 or (start >= reached and start > tokens[cuts[-1]][0]):
            cuts.append(index)
        reached = max(reached, stop)
    return cuts


def _within(cuts: Sequence[int], begin: int, size: int) -> Iterator[tuple[int, int]]:
    """The cuts after `begin` that are at most `size` tokens from it, and how many they are."""
    for index in range(begin + 1, len(cuts)):
        length = cuts[index] - cuts[begin]
        if length > size:
            return
        yield index, length


def _append(spans: list[Span], span: Span | None) -> None:
    """Add a span; if it and its forerunner differ in nothing but white space, only the longer stays."""
    if span is None or (spans and span.end <= spans[-1].end):
        return
    if spans and span.start <= spans[-1].start:
        spans.pop()
    spans.append(span)

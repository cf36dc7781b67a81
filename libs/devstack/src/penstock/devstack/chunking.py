"""Cuts a text into chunks of so many tokens, at paragraph and sentence borders where it can. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

CHUNK_TOKENS = 200
OVERLAP_TOKENS = 40

_SPACE = re.compile(r"\s*")
_SENTENCE_END = (".", "!", "?", "…", ":", '."', ".)", "?)", "!)", "。", "！", "？")


@dataclass(frozen=True)
class Span:
    """A chunk: characters ``start`` to ``end`` of the text, no white space at its sides; ``tokens`` long."""

    start: int
    end: int
    tokens: int


def chunk(
    text: str,
    tokens: Sequence[tuple[int, int]],
    size: int = CHUNK_TOKENS,
    overlap: int = OVERLAP_TOKENS,
) -> list[Span]:
    """Chunks of at most ``size`` tokens, each beginning at most ``overlap`` tokens before its forerunner's
    end.

    ``tokens`` are the (start, stop) characters of the text's tokens in order. Every character but white space
    is in at least one chunk. A chunk is longer than ``size`` only where more tokens than that share one
    character. The same input gives the same chunks.
    """
    if not 0 <= overlap < size:
        raise ValueError("overlap must be at least 0 and less than size")
    cuts = _cuts(tokens)
    spans: list[Span] = []
    begin = 0  # index into cuts
    while begin < len(cuts):
        end = _end(text, tokens, cuts, begin, size, overlap)
        span = _span(text, tokens, cuts[begin], cuts[end] if end < len(cuts) else len(tokens))
        if span is not None:
            _append(spans, span)
        if end >= len(cuts):
            break
        begin = _next_begin(text, tokens, cuts, begin, end, overlap)
    return spans


def _append(spans: list[Span], span: Span) -> None:
    """Add a span; if it and its forerunner differ in nothing but white space, only the longer stays."""
    if spans and span.end <= spans[-1].end:
        return
    if spans and span.start <= spans[-1].start:
        spans.pop()
    spans.append(span)


def _cuts(tokens: Sequence[tuple[int, int]]) -> list[int]:
    """Token indices at which the text may be cut: no earlier token reaches into that token's characters."""
    cuts: list[int] = []
    reached = 0
    for index, (start, stop) in enumerate(tokens):
        if index == 0 or (start >= reached and start > tokens[cuts[-1]][0]):
            cuts.append(index)
        reached = max(reached, stop)
    return cuts


def _end(
    text: str, tokens: Sequence[tuple[int, int]], cuts: list[int], begin: int, size: int, overlap: int
) -> int:
    """The cut at which the chunk that starts at ``begin`` ends; ``len(cuts)`` is the end of the text."""
    first = cuts[begin]
    if len(tokens) - first <= size:
        return len(cuts)
    candidates: list[int] = []
    for index in range(begin + 1, len(cuts)):
        length = cuts[index] - first
        if length > size:
            break
        # Long enough to be worth it, and longer than the overlap, so that the next chunk gets further.
        if length > max(overlap, size // 2):
            candidates.append(index)
    if candidates:
        return max(candidates, key=lambda index: (_border(text, tokens[cuts[index]][0]), index))
    return _no_candidate(cuts, begin, size)


def _no_candidate(cuts: list[int], begin: int, size: int) -> int:
    """The last cut within ``size``, else the very next one: many tokens share one character here."""
    last = begin + 1
    while last + 1 < len(cuts) and cuts[last + 1] - cuts[begin] <= size:
        last += 1
    return last


def _next_begin(
    text: str, tokens: Sequence[tuple[int, int]], cuts: list[int], begin: int, end: int, overlap: int
) -> int:
    """Where the next chunk starts: the best border in the last ``overlap`` tokens, the earliest of equals."""
    candidates = [end]
    index = end - 1
    while index > begin and cuts[end] - cuts[index] <= overlap:
        candidates.append(index)
        index -= 1
    if len(candidates) == 1:
        return end
    candidates = candidates[1:]  # a real overlap, if one is possible
    return max(candidates, key=lambda at: (_border(text, tokens[cuts[at]][0]), -at))


def _span(text: str, tokens: Sequence[tuple[int, int]], first: int, last: int) -> Span | None:
    start = tokens[first][0] if first else 0
    end = tokens[last][0] if last < len(tokens) else len(text)
    body = text[start:end]
    stripped = body.strip()
    if not stripped:
        return None
    start += len(body) - len(body.lstrip())
    return Span(start, start + len(stripped), last - first)


def _border(text: str, at: int) -> int:
    """How good a cut before ``at`` is: 5 heading, 4 paragraph, 3 sentence, 2 line, 1 word, 0 none."""
    match = _SPACE.match(text, at)
    after = match.end() if match else at
    before = at
    while before > 0 and text[before - 1].isspace():
        before -= 1
    gap = text[before:after]
    lines = gap.count("\n")
    if lines and text.startswith("#", after):
        return 5
    if lines >= 2:
        return 4
    if gap and text.endswith(_SENTENCE_END, max(0, before - 2), before):
        return 3
    return min(lines, 1) + 1 if gap else 0

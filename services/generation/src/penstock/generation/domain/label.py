"""The line above a passage: what it is from, in very few tokens."""

import re
from math import ceil

from penstock.generation.domain.neutral import neutral
from penstock.messages.chat import Passage

LABEL_TOKENS = 10
"""Retrieval charges 16 tokens for all that stands around a passage's text; its number takes the rest."""
_HEADING_TOKENS = 5
_PIECE = re.compile(r"\s*(?:[A-Za-z]{1,12}|\S)")


def label(passage: Passage) -> str:
    """Return the title, or else the file's name, with the page or the innermost heading; cut to fit."""
    place = _place(passage)
    source = _cut(passage.title.strip() or passage.file_name, LABEL_TOKENS - _cost_of(place))
    return source + place


def _place(passage: Passage) -> str:
    if passage.page is not None and passage.page < 10_000:
        return f", p.{passage.page}"
    heading = _cut(passage.headings[-1], _HEADING_TOKENS - 1) if passage.headings else ""
    return f" > {heading}" if heading else ""


def _cut(text: str, tokens: int) -> str:
    """Return the beginning of a text that is about so many tokens long, on one line."""
    kept = ""
    for piece in _PIECE.findall(" ".join(neutral(text).split())):
        tokens -= _cost(piece)
        if tokens < 0:
            break
        kept += piece
    return kept


def _cost_of(text: str) -> int:
    return sum(map(_cost, _PIECE.findall(text)))


def _cost(piece: str) -> int:
    """Estimate tokens without a tokenizer: words by their letters, other scripts dear, signs one by one."""
    sign = piece.strip()
    if not sign.isascii():
        return 2
    return ceil(len(sign) / 4) if sign.isalpha() else len(piece)

"""An example: a question, one to four passages, and the answer with its number, or the refusal."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, Literal

from penstock.trainer.data.passages import Passage
from penstock.trainer.data.sentences import content
from penstock.trainer.prompt import Shown

# As generation counts a label's tokens (penstock.generation.domain.label).
_LABEL_TOKENS = 10
_HEADING_TOKENS = 5
_PIECE = re.compile(r"\s*(?:[A-Za-z]{1,12}|\S)")

Split = Literal["train", "validation", "unseen"]
Unanswerable = Literal["sibling", "invented", "no-value", "other-manual", "elsewhere"]

# fmt: off
UNANSWERABLE: dict[Unanswerable, float] = {
    "sibling": 0.28, "invented": 0.30, "no-value": 0.20, "other-manual": 0.11, "elsewhere": 0.11,
}
# fmt: on
"""Kinds of questions that the passages do not answer, and the share of each."""


@dataclass(frozen=True, slots=True)
class Example:
    """One example. Passages are in the order of their rank, best first; `right` counts from 1, 0 for none.

    Examples of one `reading` have the same passages in the same form.
    """

    split: Split
    reading: int
    kind: str
    corpus: str
    page: str
    form: str
    question: str
    passages: tuple[Shown, ...]
    right: int
    answer: str

    def as_json(self) -> dict[str, Any]:
        """Return the example as plain data."""
        return asdict(self)


def label_of(passage: Passage) -> str:
    """Return what generation writes above a passage: title and innermost heading, cut to fit."""
    heading = _cut(passage.heading, _HEADING_TOKENS - 1)
    place = f" > {heading}" if heading else ""
    return _cut(passage.title, _LABEL_TOKENS - _cost_of(place)) + place


def _cut(text: str, tokens: int) -> str:
    kept = ""
    for piece in _PIECE.findall(" ".join(text.split())):
        tokens -= _cost(piece)
        if tokens < 0:
            break
        kept += piece
    return kept


def _cost_of(text: str) -> int:
    return sum(map(_cost, _PIECE.findall(text)))


def _cost(piece: str) -> int:
    sign = piece.strip()
    if not sign.isascii():
        return 2
    return ceil(len(sign) / 4) if sign.isalpha() else len(piece)


def signature(text: str) -> str:
    """Return what near duplicates have in common: the set of their words that say something, numbers gone."""
    words = sorted({word for word in content(text) if not word.isdigit()})
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]

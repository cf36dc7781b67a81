"""An example: a question, one to four passages, and the answer with its number, or the refusal."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Literal

from penstock.trainer.data.passages import Passage
from penstock.trainer.data.sentences import content
from penstock.trainer.prompt import Shown

Split = Literal["train", "validation", "unseen"]
Unanswerable = Literal["sibling", "invented", "no-value", "other-manual", "elsewhere"]

# fmt: off
UNANSWERABLE: dict[Unanswerable, float] = {
    "sibling": 0.30, "invented": 0.22, "no-value": 0.22, "other-manual": 0.13, "elsewhere": 0.13,
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
    """Return what stands above a passage: title and innermost heading, short, as in the service's prompts."""
    title = " ".join(passage.title.split())[:36].strip()
    heading = " ".join(passage.heading.split())[:18].strip()
    return f"{title} > {heading}" if heading and heading != title else title


def signature(text: str) -> str:
    """Return what near duplicates have in common: the set of their words that say something, numbers gone."""
    words = sorted({word for word in content(text) if not word.isdigit()})
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]

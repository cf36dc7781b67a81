"""Passages: how they are found by text, and which of them go into a prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.messages.chat import Passage

PASSAGE_OVERHEAD_TOKENS = 16
"""Tokens that the heading line of a passage costs in the prompt; generation writes none longer."""

MAX_PASSAGES = 5

Vector = Sequence[float]
"""An embedding, normalised to length 1."""

_TITLE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk as the index keeps it."""

    chunk_id: str
    passage: Passage
    vector: Vector


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that answers a query; a higher score answers it better."""

    passage: Passage
    score: float


def searchable_text(title: str, text: str) -> str:
    """Return what is embedded and searched for a chunk: its document's title says what it is about."""
    return f"{title[:_TITLE_CHARACTERS]}\n{text}"


def fits_any(budget: int) -> bool:
    """Return whether a budget of tokens has room for even the shortest passage."""
    return budget > PASSAGE_OVERHEAD_TOKENS


def fill_budget(found: Sequence[Found], budget: int, most: int = MAX_PASSAGES) -> tuple[Passage, ...]:
    """Return the best passages that fit `budget` tokens together, at most `most`, best first.

    Greedy: a passage that does not fit leaves its room to the next one that does. Of passages with the same
    text only the best counts. Equal scores are ordered by document and place, so that the same search
    always gives the same prompt.
    """
    chosen: list[Passage] = []
    texts: set[str] = set()
    for candidate in sorted(found, key=_best_first):
        passage = candidate.passage
        cost = passage.tokens + PASSAGE_OVERHEAD_TOKENS
        if cost > budget or passage.text in texts:
            continue
        chosen.append(passage)
        texts.add(passage.text)
        budget -= cost
        if len(chosen) == most:
            break
    return tuple(chosen)


def _best_first(found: Found) -> tuple[float, str, int]:
    return (-found.score, found.passage.document_id, found.passage.start)

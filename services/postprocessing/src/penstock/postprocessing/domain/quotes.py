"""An answer without a model: the passages' sentences that say most about the question, word for word."""

from collections import Counter
from collections.abc import Sequence
from math import log
from typing import NamedTuple

from penstock.messages.chat import Passage
from penstock.postprocessing.domain.text import content_words, sentences

MOST_QUOTES = 3
LONGEST = 400
"""Characters; of a longer sentence the beginning is quoted."""
_NEARLY_AS_GOOD = 0.6
_RANK = 0.9
"""A passage counts this much less than the one found before it."""


class Quote(NamedTuple):
    """Characters `start` to `end` of the passage with this number (from 1)."""

    number: int
    start: int
    end: int


def best_quotes(query: str, passages: Sequence[Passage]) -> list[Quote]:
    """Return the sentences that share most with the query, in the order of their passages.

    A word counts the more, the fewer sentences hold it. At least one is returned if there are passages.
    """
    words = content_words(query)
    spoken = [
        (Quote(number, start, end), content_words(passage.text[start:end]))
        for number, passage in enumerate(passages, 1)
        for start, end in sentences(passage.text)
    ]
    holding = Counter(word for _, held in spoken for word in words & held)
    weights = {word: log(1 + len(spoken) / count) for word, count in holding.items()}
    scored = sorted(
        ((sum(weights[w] for w in words & held) * _RANK ** (q.number - 1), q) for q, held in spoken),
        key=lambda scored: (-scored[0], scored[1]),
    )
    chosen: list[Quote] = []
    said: set[str] = set()
    for score, quote in scored:
        text = _text(passages, quote)
        if len(chosen) == MOST_QUOTES or (chosen and score < _NEARLY_AS_GOOD * scored[0][0]):
            break
        if text not in said and (score > 0 or not chosen):
            said.add(text)
            chosen.append(_cut(passages, quote))
    return sorted(chosen)


def _text(passages: Sequence[Passage], quote: Quote) -> str:
    return passages[quote.number - 1].text[quote.start : quote.end]


def _cut(passages: Sequence[Passage], quote: Quote) -> Quote:
    if quote.end - quote.start <= LONGEST:
        return quote
    space = _text(passages, quote).rfind(" ", 0, LONGEST)
    return quote._replace(end=quote.start + (space if space > 0 else LONGEST))

"""Which of the passages found have anything to do with the query: the last step to an honest «nothing found».

A hybrid search always finds something, and its fused score counts ranks only: the best of bad passages
scores as the best of good ones. The cosine similarity can be compared between searches. Measured with
all-MiniLM-L6-v2 over this project's documentation (140 chunks): for 15 questions that it answers the best
passage has 0.39 to 0.74, for 18 that it does not, 0.07 to 0.23.
"""

import re

from penstock.retrieval.domain.passages import Found

RELEVANT_SIMILARITY = 0.25
"""A cosine from which a passage is about what the query asks."""

_MOST_WORDS = 0.5
_SHORTEST_WORD = 3


def relevance(found: Found) -> float:
    """Return how alike passage and query are, from 0 to 1: their cosine."""
    return min(1.0, max(0.0, found.similarity))


def is_relevant(query: str, found: Found, min_score: float | None = None) -> bool:
    """Return whether a passage is worth showing for `query`.

    `min_score`, if the request sets it, is the least score. Otherwise a passage must be alike in
    meaning, or hold a name of the query like E1234 or MAX_SIZE, which mean little to an embedding, or most
    of its words.
    """
    if min_score is not None:
        return found.score >= min_score
    if found.similarity >= RELEVANT_SIMILARITY:
        return True
    return found.by_words and (coverage(query, found) > _MOST_WORDS or _names(query) & _held(found) != set())


def coverage(query: str, found: Found) -> float:
    """Return which share of the query's words the passage holds, from 0 to 1; short words do not count."""
    wanted = {word for word in words(query) if len(word) >= _SHORTEST_WORD}
    if not wanted:
        return 0.0
    return len(wanted & _held(found)) / len(wanted)


def words(text: str) -> list[str]:
    """Return the words of a text in one case."""
    return re.findall(r"\w+", text.casefold())


def _held(found: Found) -> set[str]:
    passage = found.passage
    return set(words(" ".join([passage.title, *passage.headings, passage.text])))


def _names(query: str) -> set[str]:
    """Return the words that are more than letters, and more than a number."""
    return {word for word in words(query) if not word.isalpha() and not word.isdecimal()}

"""Which of the passages found have anything to do with the query: the last step to an honest «nothing found».

A hybrid search always finds something, and its fused score counts ranks only: the best of bad passages
scores as the best of good ones. The cosine similarity can be compared between searches. Measured with
all-MiniLM-L6-v2 over this project's documentation (140 chunks): for 15 questions that it answers the best
passage has 0.39 to 0.74, for 18 that it does not, 0.07 to 0.23.
"""

import re
from functools import lru_cache

from penstock.retrieval.domain.passages import Found

_MOST_WORDS = 0.5
_SHORTEST_WORD = 3
_WORD = re.compile(r"\w+")


def relevance(found: Found) -> float:
    """Return how alike passage and query are, from 0 to 1: their cosine."""
    return min(1.0, max(0.0, found.similarity))


def is_relevant(query: str, found: Found, floor: float, min_score: float | None = None) -> bool:
    """Return whether a passage is worth showing for `query`.

    From the cosine `floor` on a passage is about what the query asks; so is one that holds a name of the
    query like E1234 or MAX_SIZE, which mean little to an embedding, or most of its words. `min_score`, if
    the request sets it, is the least score instead.
    """
    if min_score is not None:
        return found.score >= min_score
    if found.similarity >= floor:
        return True
    return found.by_words and (coverage(query, found) > _MOST_WORDS or _names(query) & _held(found) != set())


def coverage(query: str, found: Found) -> float:
    """Return which share of the query's words the passage holds, from 0 to 1; short words do not count."""
    wanted = _wanted(query)
    return len(wanted & _held(found)) / len(wanted) if wanted else 0.0


def words(text: str) -> list[str]:
    """Return the words of a text in one case."""
    return _WORD.findall(text.casefold())


def _held(found: Found) -> frozenset[str]:
    passage = found.passage
    return _words_in(passage.title, passage.headings, passage.text)


@lru_cache(maxsize=256)  # the same passages are found again and again: some 4 MiB of them
def _words_in(title: str, headings: tuple[str, ...], text: str) -> frozenset[str]:
    return frozenset(words(" ".join([title, *headings, text])))


@lru_cache(maxsize=64)  # a query is asked about each of its passages
def _wanted(query: str) -> frozenset[str]:
    """Return the words that are not short."""
    return frozenset(word for word in words(query) if len(word) >= _SHORTEST_WORD)


@lru_cache(maxsize=64)
def _names(query: str) -> frozenset[str]:
    """Return the words that are more than letters, and more than a number."""
    return frozenset(word for word in words(query) if not word.isalpha() and not word.isdecimal())

"""A second look at the passages found: cheap and local. What it is worth: docs/retrieval.md."""

from collections.abc import Sequence
from dataclasses import replace

from penstock.retrieval.domain.passages import Found, best_first
from penstock.retrieval.domain.relevance import coverage, relevance

_OF_COVERAGE = 0.25
_OF_RANK = 0.25


def rerank(query: str, found: Sequence[Found]) -> list[Found]:
    """Return the same passages, best first by a blend of fused rank, cosine and covered words, 0 to 1.

    The fused rank knows nothing of how much better one passage is than the next; the cosine does, and
    the covered words tell those apart that are about the same.
    """
    best = max((each.score for each in found), default=0.0) or 1.0
    scored = [
        replace(
            each,
            score=(1 - _OF_COVERAGE - _OF_RANK) * relevance(each)
            + _OF_COVERAGE * coverage(query, each)
            + _OF_RANK * each.score / best,
        )
        for each in found
    ]
    return sorted(scored, key=best_first)

"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

RRF_K = 60
"""The constant of the paper: how little the first ranks of one ranking may outweigh the others."""

T = TypeVar("T", bound=Hashable)


def fuse(rankings: Iterable[Sequence[T]], k: int = RRF_K) -> dict[T, float]:
    """Return the fused score of every item: the sum of 1 / (k + rank) over the rankings that name it.

    Each ranking is best first and names an item once; ranks count from 1.
    """
    scores: defaultdict[T, float] = defaultdict(float)
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] += 1 / (k + rank)
    return dict(scores)

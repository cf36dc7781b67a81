"""How good a ranking is when one page is known to be the right one (known-item retrieval). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

CUT = 10


@dataclass(frozen=True)
class Scores:
    """Averages over all questions, from 0 to 1."""

    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mrr: float
    ndcg_at_10: float


def scores(ranks: Sequence[int | None]) -> Scores:
    """Return the averages; a rank counts from 1, None: the page was not found.

    With one relevant page the ideal gain is 1, so nDCG is 1 / log2(rank + 1) (Järvelin and Kekäläinen 2002).
    The reciprocal rank counts to the tenth place.
    """
    count = len(ranks) or 1
    top = [rank for rank in ranks if rank is not None and rank <= CUT]
    return Scores(
        sum(rank <= 1 for rank in top) / count,
        sum(rank <= 5 for rank in top) / count,
        len(top) / count,
        sum(1 / rank for rank in top) / count,
        sum(1 / log2(rank + 1) for rank in top) / count,
    )


def rank_of(page: str, found: Sequence[str]) -> int | None:
    """Return at which place a page stands, counting each page once, at its best passage."""
    order = list(dict.fromkeys(found))
    return order.index(page) + 1 if page in order else None

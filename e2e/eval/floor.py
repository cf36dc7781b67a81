"""From which cosine on a passage is about a question: what each floor would refuse, rightly and wrongly."""

from __future__ import annotations

from collections.abc import Sequence

from e2e.bench.tables import Table
from e2e.eval.facts import KINDS, Asked
from e2e.eval.indexing import TENANT
from penstock.retrieval.domain.relevance import is_relevant
from penstock.retrieval.domain.scope import Scope
from penstock.retrieval.handler import CANDIDATES
from penstock.retrieval.searching import Searcher

FLOORS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


async def measure(asked: Sequence[Asked], searcher: Searcher) -> Table:
    """Return the share of each kind of question for which no passage is left, by floor."""
    found = [(one, await searcher.search(Scope(TENANT), [one.text], CANDIDATES)) for one in asked]
    kinds = [kind for kind in KINDS if any(one.kind == kind for one in asked)]
    rows = []
    for floor in FLOORS:
        refused = [
            (one.kind, not any(is_relevant(one.text, each, floor) for each in passages))
            for one, passages in found
        ]
        rows.append([f"{floor:.2f}", *(_share([said for kind, said in refused if kind == k]) for k in kinds)])
    return Table("Refused without asking a model, by floor", ("floor", *kinds), rows)


def _share(refused: Sequence[bool]) -> str:
    return f"{sum(refused) / (len(refused) or 1):.2f}"

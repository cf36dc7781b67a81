"""What one tenant may find, count and remove: the one place where the tenant filter is set.

Both Qdrants are read through this class only. Every filter made here begins with the tenant.
"""

from collections.abc import Sequence
from typing import NamedTuple

from penstock.retrieval.adapters.conditions import condition_of
from penstock.retrieval.adapters.points import (
    STORE,
    TENANT,
    Json,
    Nearest,
    Points,
    Words,
    one_of,
    store_key,
)
from penstock.retrieval.domain.fusion import fuse
from penstock.retrieval.domain.passages import Vector
from penstock.retrieval.domain.scope import Scope

_CANDIDATES = 50
"""Points that each of the two searches gives to the fusion."""


class Fused(NamedTuple):
    """A point found by both searches or one: its fused score, its cosine, and whether its words were hit."""

    payload: Json
    score: float
    similarity: float
    by_words: bool


class TenantPoints:
    """The points within a scope."""

    def __init__(self, points: Points, scope: Scope) -> None:
        self._points = points
        self._scope = scope

    async def search(self, words: Words, vector: Vector | None, limit: int) -> list[Fused]:
        """Return the best points by meaning and by words, fused by reciprocal rank; or by words alone.

        They are fused here and not by the engine, which would not say how alike a point is. What is kept of
        the few that are left is fetched then, and the cosine of those that were found by their words alone.
        """
        mine = self._filter()
        many = max(limit, _CANDIDATES)
        queries = [Nearest(words, mine, many, corpus={"must": [self._mine()]})]
        queries += [] if vector is None else [Nearest(vector, mine, many)]
        nearest = await self._points.search(queries)
        # Equals come in whatever order the engine has them: the same search must give the same prompt.
        by_words, *others = [sorted(hits, key=lambda hit: (-hit.score, hit.id)) for hits in nearest]
        by_meaning = others[0] if others else []
        fused = fuse([[hit.id for hit in by_meaning], [hit.id for hit in by_words]])
        best = sorted(fused, key=lambda one: (-fused[one], one))[:limit]
        if not best:
            return []
        worded = {hit.id for hit in by_words}
        cosines = {hit.id: hit.score for hit in by_meaning}
        cosines |= await self._cosines(vector, [one for one in best if one not in cosines])
        kept = await self._points.retrieve(best, with_payload=True)
        return [
            Fused(kept[one], fused[one], cosines[one], one in worded)
            for one in best
            if one in kept and one in cosines  # and was not removed meanwhile
        ]

    async def _cosines(self, vector: Vector | None, ids: Sequence[str]) -> dict[str, float]:
        if not ids or vector is None:
            return dict.fromkeys(ids, 0.0)
        [hits] = await self._points.search([Nearest(vector, self._filter({"has_id": ids}), len(ids))])
        return {hit.id: hit.score for hit in hits}

    async def is_empty(self) -> bool:
        """Return whether there are no points."""
        return not await self._points.any(self._filter())

    async def count(self) -> int:
        """Return how many points there are."""
        return await self._points.count(self._filter())

    async def remove(self, document_id: str, below: int) -> None:
        """Remove the points of a document with a version lower than `below`."""
        await self._points.remove(
            self._filter(
                {"key": "document_id", "match": {"value": document_id}},
                {"key": "version", "range": {"lt": below}},
            )
        )

    def _filter(self, *conditions: Json) -> Json:
        wanted = self._scope.filters
        return {"must": [self._mine(), *([condition_of(wanted)] if wanted else []), *conditions]}

    def _mine(self) -> Json:
        tenant, stores = self._scope.tenant, self._scope.stores
        if not stores:
            return one_of(TENANT, [tenant])
        return one_of(STORE, [store_key(tenant, store) for store in stores])

"""Finding passages for queries, for a prompt or for a person."""

from collections.abc import Sequence

from penstock.retrieval.domain.passages import Found, Vector, best_first
from penstock.retrieval.domain.rerank import rerank
from penstock.retrieval.domain.scope import Scope
from penstock.retrieval.ports import Embedder, SearchIndex
from penstock.streaming.errors import TransientError


class Searcher:
    """Embeds queries, searches the index with them, and takes a second look at what was found."""

    def __init__(self, embedder: Embedder, index: SearchIndex) -> None:
        self._embedder = embedder
        self._index = index

    async def search(self, scope: Scope, queries: Sequence[str], limit: int) -> list[Found]:
        """Return at most `limit` passages for all queries together, best first.

        Where there is nothing to be found, nothing is embedded. Raises TransientError or PermanentError.
        """
        if await self._index.is_empty(scope.unfiltered):
            return []
        vectors = await self._embedder.embed(queries)
        found = [
            rerank(query, await self._index.search(scope, query, vector, limit))
            for query, vector in zip(queries, vectors, strict=True)
        ]
        return _together(found)[:limit]


class CurrentIndex:
    """Searches the index that is current, once there is one (port: SearchIndex)."""

    def __init__(self) -> None:
        self._index: SearchIndex | None = None

    def become(self, index: SearchIndex) -> None:
        """Search this index from now on."""
        self._index = index

    async def size(self) -> int:
        return await self._current().size()

    async def is_empty(self, scope: Scope) -> bool:
        return await self._current().is_empty(scope)

    async def search(self, scope: Scope, text: str, vector: Vector, limit: int) -> list[Found]:
        return await self._current().search(scope, text, vector, limit)

    def _current(self) -> SearchIndex:
        if self._index is None:
            raise TransientError("index_unavailable", "The passage index is not ready yet.")
        return self._index


def _together(rankings: Sequence[Sequence[Found]]) -> list[Found]:
    """Return what was found for several queries, each passage as good as it is for the best of them."""
    best: dict[tuple[str, str, int, int], Found] = {}
    for found in (found for ranking in rankings for found in ranking):
        other = best.get(found.place)
        if other is None or found.score > other.score:
            best[found.place] = found
    return sorted(best.values(), key=best_first)

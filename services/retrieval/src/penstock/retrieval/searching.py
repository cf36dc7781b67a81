"""Finding passages for queries, for a prompt or for a person."""

from collections import OrderedDict
from collections.abc import Sequence

import structlog

from penstock.retrieval.domain.passages import Found, Vector, best_first
from penstock.retrieval.domain.reduction import reduced
from penstock.retrieval.domain.rerank import rerank
from penstock.retrieval.domain.scope import Scope
from penstock.retrieval.ports import SearchIndex
from penstock.retrieval.query_vectors import QueryVectors
from penstock.streaming.errors import TransientError

_SCOPES = 4096
log = structlog.get_logger()


class Searcher:
    """Embeds what queries look for, searches the index, and takes a second look at what was found.

    Stores that were not empty are taken to be so still, until nothing is found in them: then there is no
    need to ask before each search.
    """

    def __init__(self, vectors: QueryVectors, index: SearchIndex) -> None:
        self._vectors = vectors
        self._index = index
        self._filled: OrderedDict[Scope, None] = OrderedDict()

    async def search(
        self, scope: Scope, queries: Sequence[str], limit: int, *, words_suffice: bool = False
    ) -> list[Found]:
        """Return at most `limit` passages for all queries together, best first.

        Where there is nothing to be found, nothing is embedded. If `words_suffice`, passages are found by
        their words alone while nothing can be embedded. Raises TransientError or PermanentError.
        """
        stores = scope.unfiltered
        if stores not in self._filled and await self._index.is_empty(stores):
            return []
        wanted = [reduced(query) for query in queries]
        vectors = await self._vectors_of([one.core for one in wanted], words_suffice=words_suffice)
        found = [
            rerank(one.words, await self._index.search(scope, one.words, vector, limit))
            for one, vector in zip(wanted, vectors, strict=True)
        ]
        self._note(stores, filled=any(found))
        return _together(found)[:limit]

    async def _vectors_of(self, queries: Sequence[str], *, words_suffice: bool) -> Sequence[Vector | None]:
        try:
            return await self._vectors.of(queries)
        except TransientError as error:
            if not words_suffice:
                raise
            log.warning("searching_by_words_alone", reason=error.message)
            return [None] * len(queries)

    def expect(self, scope: Scope, query: str) -> None:
        """Have a query embedded that will be searched for soon, where something may be found."""
        if scope.unfiltered in self._filled:
            self._vectors.expect(reduced(query).core)

    def _note(self, stores: Scope, *, filled: bool) -> None:
        self._filled.pop(stores, None)
        if filled:
            self._filled[stores] = None
        if len(self._filled) > _SCOPES:
            self._filled.popitem(last=False)


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

    async def search(self, scope: Scope, text: str, vector: Vector | None, limit: int) -> list[Found]:
        return await self._current().search(scope, text, vector, limit)

    def _current(self) -> SearchIndex:
        if self._index is None:
            raise TransientError("index_unavailable", "The passage index is not ready yet.")
        return self._index


def _together(rankings: Sequence[Sequence[Found]]) -> list[Found]:
    """Return what was found for several queries, each passage as good as it is for the best of them."""
    best: dict[tuple[str, str, int, int], Found] = {}
    for found in (found for ranking in rankings for found in ranking):
        other = best.get(found.location)
        if other is None or found.score > other.score:
            best[found.location] = found
    return sorted(best.values(), key=best_first)

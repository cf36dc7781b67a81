"""The ways of searching that are compared."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

import qdrant_edge

from e2e.eval.indexing import TENANT, Made
from e2e.eval.metrics import rank_of
from e2e.eval.questions import Question
from penstock.messages.search import DEFAULT_STORE
from penstock.retrieval.adapters.points import STORE, Nearest, Words, store_key
from penstock.retrieval.domain.passages import Found, Vector
from penstock.retrieval.domain.rerank import rerank
from penstock.retrieval.domain.scope import Scope

CANDIDATES = 50
WAYS = ("BM25", "dense", "hybrid", "hybrid, re-ranked")
_MINE = {"must": [{"key": STORE, "match": {"any": [store_key(TENANT, DEFAULT_STORE)]}}]}
Search = Callable[[str, Vector], Awaitable[list[str]]]


def ways(indexed: Made) -> dict[str, Search]:
    """Return the ways by their names; each gives the pages of the passages found, best first."""
    bm25 = qdrant_edge.Bm25()

    async def nearest(query: Words | Vector) -> list[str]:
        corpus = _MINE if isinstance(query, Words) else None
        [hits] = await indexed.points.search([Nearest(query, _MINE, CANDIDATES, corpus)])
        kept = await indexed.points.retrieve([hit.id for hit in hits], with_payload=True)
        return [kept[hit.id]["document_id"] for hit in hits]

    async def by_words(text: str, _vector: Vector) -> list[str]:
        words = bm25.embed_query(text)
        return await nearest(Words(words.indices, words.values))

    async def by_meaning(_text: str, vector: Vector) -> list[str]:
        return await nearest(vector)

    async def hybrid(text: str, vector: Vector) -> list[str]:
        return _pages(await indexed.index.search(Scope(TENANT), text, vector, CANDIDATES))

    async def reranked(text: str, vector: Vector) -> list[str]:
        return _pages(rerank(text, await indexed.index.search(Scope(TENANT), text, vector, CANDIDATES)))

    return dict(zip(WAYS, (by_words, by_meaning, hybrid, reranked), strict=True))


async def ranks(
    search: Search, questions: Sequence[Question], vectors: Sequence[Vector]
) -> tuple[list[int | None], list[float]]:
    """Return at which place each question's page was found, and how long each search took in seconds."""
    found: list[int | None] = []
    seconds: list[float] = []
    for question, vector in zip(questions, vectors, strict=True):
        started = time.perf_counter()
        pages = await search(question.text, vector)
        seconds.append(time.perf_counter() - started)
        found.append(rank_of(question.page, pages))
    return found, seconds


def _pages(found: Sequence[Found]) -> list[str]:
    return [each.passage.document_id for each in found]

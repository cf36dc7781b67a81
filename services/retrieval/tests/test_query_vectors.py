"""A query is embedded once for all who ask, and stores are not asked before each search if they are empty."""

import asyncio
from collections.abc import Sequence

import pytest

from penstock.retrieval import query_vectors
from penstock.retrieval.domain.passages import Vector
from penstock.retrieval.domain.scope import Scope
from penstock.retrieval.ports import Index
from penstock.retrieval.query_vectors import KEPT_S, QueryVectors
from penstock.retrieval.searching import Searcher
from penstock.streaming.errors import TransientError


class SlowEmbedder:
    """Embeds when it is told to."""

    def __init__(self, embedder) -> None:
        self._embedder = embedder
        self.may = asyncio.Event()

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        await self.may.wait()
        vectors: list[Vector] = await self._embedder.embed(texts)
        return vectors


async def test_a_query_that_comes_again_is_not_embedded_again(embedder, make) -> None:
    vectors = QueryVectors(embedder)
    for _ in range(3):
        assert await vectors.of(["a log", "a cat"]) == [make.embedding("a log"), make.embedding("a cat")]
    assert await vectors.of(["a cat", "a dog", "a cat"]) == [
        make.embedding(text) for text in ("a cat", "a dog", "a cat")
    ]
    assert embedder.calls == [["a log", "a cat"], ["a dog"]]


async def test_all_who_ask_at_once_share_one_call_whoever_leaves(embedder, make) -> None:
    slow = SlowEmbedder(embedder)
    vectors = QueryVectors(slow)
    asking = [asyncio.create_task(vectors.of(["a log"])) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    slow.may.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert found[1:] == [[make.embedding("a log")]] * 4
    assert embedder.calls == [["a log"]]


async def test_a_failure_is_told_and_not_kept(embedder, make) -> None:
    vectors = QueryVectors(embedder)
    embedder.failures.append(TransientError("a", "b"))
    with pytest.raises(TransientError):
        await vectors.of(["a log"])
    assert await vectors.of(["a log"]) == [make.embedding("a log")]


async def test_a_vector_is_kept_for_a_while(embedder) -> None:
    now = 0.0
    vectors = QueryVectors(embedder, lambda: now)
    await vectors.of(["a log"])
    now = KEPT_S
    await vectors.of(["a log"])
    assert len(embedder.calls) == 1
    now += 1
    await vectors.of(["a log"])
    assert len(embedder.calls) == 2


async def test_only_so_many_are_kept_and_those_that_were_asked_for_last(
    embedder, make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_vectors, "MAX_NUMBERS", 2 * len(make.embedding("")))
    vectors = QueryVectors(embedder)
    for text in ("one", "two", "one", "three", "one", "two"):
        await vectors.of([text])
    assert embedder.calls == [["one"], ["two"], ["three"], ["two"]]


async def test_stores_with_passages_are_not_asked_whether_they_are_empty(
    embedder, index: Index, make
) -> None:
    asked: list[Scope] = []
    is_empty = index.is_empty

    async def counting(scope: Scope) -> bool:
        asked.append(scope)
        return await is_empty(scope)

    index.is_empty = counting  # type: ignore[method-assign]
    searcher, mine = Searcher(QueryVectors(embedder), index), Scope("acme", ("vs_default",))
    assert await searcher.search(mine, ["kafka"], 5) == []
    indexer = make.indexer(embedder, index)
    await indexer.index([make.received(make.chunked("kafka keeps a log"))])
    for _ in range(3):  # what has come in between is found at once
        assert len(await searcher.search(mine, ["kafka"], 5)) == 1
    assert len(asked) == 2
    await indexer.index([make.received(make.deleted())])
    embedder.calls.clear()
    for _ in range(2):
        assert await searcher.search(mine, ["a new query"], 5) == []
    assert len(embedder.calls) == 1  # the first one found out
    assert asked == [mine] * 3

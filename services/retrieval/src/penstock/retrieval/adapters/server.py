"""A Qdrant server, which several replicas share (port: Points)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException

from penstock.retrieval.adapters import points
from penstock.retrieval.adapters.points import DENSE, NUMBERS, SPARSE, Hit, Json, Nearest, Point, Words
from penstock.streaming.errors import TransientError

_STEP = 256
"""Points a request: below a server's limit of 32 MB by far."""
log = structlog.get_logger()


class ServerPoints:
    """One collection, or the one that an alias names."""

    def __init__(self, client: AsyncQdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection

    async def search(self, searches: Sequence[Nearest]) -> list[list[Hit]]:
        async with translated_errors("search"):
            answers = await self._client.query_batch_points(self._collection, [_request(s) for s in searches])
        return [[Hit(str(p.id), p.score) for p in a.points] for a in answers]

    async def upsert(self, points: Sequence[Point]) -> None:
        for start in range(0, len(points), _STEP):
            async with translated_errors("upsert"):
                step = [_point(point) for point in points[start : start + _STEP]]
                await self._client.upsert(self._collection, step, wait=True)

    async def remove(self, within: Json) -> None:
        async with translated_errors("remove"):
            await self._client.delete(
                self._collection, models.FilterSelector(filter=_filter(within)), wait=True
            )

    async def retrieve(self, ids: Sequence[str], *, with_payload: bool) -> dict[str, Json]:
        async with translated_errors("retrieve"):
            found = await self._client.retrieve(self._collection, ids, with_payload=with_payload)
        return {str(point.id): point.payload or {} for point in found}

    async def any(self, within: Json) -> bool:
        async with translated_errors("any"):
            found, _ = await self._client.scroll(
                self._collection, scroll_filter=_filter(within), limit=1, with_payload=False
            )
        return bool(found)

    async def size(self) -> int:
        tenants = _filter({"must_not": [{"is_empty": {"key": points.TENANT}}]})
        async with translated_errors("size"):
            return (await self._client.count(self._collection, tenants, exact=False)).count

    async def count(self, within: Json) -> int:
        async with translated_errors("count"):
            return (await self._client.count(self._collection, _filter(within), exact=True)).count

    async def flush(self) -> None:
        """A write is answered when it stands in the server's log on disk: nothing is left to do."""


async def create_collection(client: AsyncQdrantClient, name: str, vector_size: int) -> None:
    """Make an empty collection for vectors of `vector_size` numbers."""
    word = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD)
    whole = models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=False, range=True)
    fields: dict[str, Any] = {
        points.TENANT: word.model_copy(update={"is_tenant": True}),
        **dict.fromkeys(points.KEYWORD_FIELDS, word),
        **dict.fromkeys(points.INTEGER_FIELDS, whole),
        f"{NUMBERS}[].key": word.model_copy(update={"nested": NUMBERS}),
        f"{NUMBERS}[].number": models.FloatIndexParams(type=models.FloatIndexType.FLOAT, nested=NUMBERS),
    }
    async with translated_errors("create_collection"):
        await client.create_collection(
            name,
            vectors_config={DENSE: models.VectorParams(size=vector_size, distance=models.Distance.COSINE)},
            sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )
        for field, kind in fields.items():
            await client.create_payload_index(name, field, kind)


def _request(wanted: Nearest) -> models.QueryRequest:
    by_words = isinstance(wanted.query, Words)
    params = None
    if wanted.corpus is not None:
        params = models.SearchParams(idf=models.IdfCorpusParams(corpus=_filter(wanted.corpus)))
    return models.QueryRequest(
        query=_sparse(wanted.query) if isinstance(wanted.query, Words) else list(wanted.query),
        using=SPARSE if by_words else DENSE,
        filter=_filter(wanted.filter),
        params=params,
        limit=wanted.limit,
        with_payload=False,
    )


def _point(point: Point) -> models.PointStruct:
    vectors: dict[str, Any] = {}
    if point.vector is not None:
        vectors[DENSE] = list(point.vector)
    if point.words is not None:
        vectors[SPARSE] = _sparse(point.words)
    return models.PointStruct(id=point.id, vector=vectors, payload=dict(point.payload))


def _sparse(words: Words) -> models.SparseVector:
    return models.SparseVector(indices=list(words.indices), values=list(words.values))


def _filter(json: Json) -> models.Filter:
    return models.Filter.model_validate(json)


@asynccontextmanager
async def translated_errors(call: str) -> AsyncIterator[None]:
    """Give the client's errors as ours."""
    try:
        yield
    except (ApiException, QdrantException, ValueError) as error:
        log.error("index_failed", call=call, reason=f"{type(error).__name__}: {error}"[:300])
        raise TransientError("index_failed", "The passage index failed.") from error

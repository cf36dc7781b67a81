"""Qdrant Edge, Qdrant's engine in this process (port: Points).

The engine logs every write before it applies it, in order, and replays that log when it is opened after a
crash.

The binding keeps Python's interpreter lock during every call (measured with 0.9), so a worker thread would
take nothing off the event loop: calls are made where they stand, and writes in small steps, between which
questions are answered. For the same reason there is no graph (HNSW): `optimize()`, which builds it, holds
the whole process up for minutes at 100,000 chunks. It is not missed: vectors are kept as 8-bit numbers
(TurboQuant), and comparing a query with all 100,000 of them takes 5 ms, finds the best but for rounding
(recall@10 0.99), and needs half the memory. The time grows with the chunks of the stores that are searched;
for a store of millions there is the server.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qdrant_edge as qdrant
import structlog

from penstock.retrieval.adapters import points
from penstock.retrieval.adapters.points import DENSE, NUMBERS, SPARSE, Hit, Json, Nearest, Point, Words
from penstock.retrieval.ports import IndexUnusable
from penstock.streaming.errors import TransientError

_STEP = 32
"""Points a write: about 3 ms."""
_NEVER_INDEXED_KB = 1 << 30
_HALF = 0.5
log = structlog.get_logger()


def open_points(directory: Path, vector_size: int) -> "EdgePoints":
    """Open the points in `directory`, or make it, for vectors of `vector_size` numbers.

    The room of removed points is taken back here if it is more than half: 2 s for 100,000 points, during
    which nothing else could run. Raises IndexUnusable.
    """
    config = qdrant.EdgeConfig(
        vectors={
            DENSE: qdrant.EdgeVectorParams(
                vector_size, qdrant.Distance.Cosine, datatype=qdrant.VectorStorageDatatype.Turbo8
            )
        },
        sparse_vectors={SPARSE: qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
        optimizers=qdrant.EdgeOptimizersConfig(indexing_threshold=_NEVER_INDEXED_KB, deleted_threshold=_HALF),
    )
    try:
        if directory.exists():
            shard = qdrant.EdgeShard.load(str(directory), config)
            shard.optimize()
        else:
            shard = _create(directory, config)
    except Exception as error:  # the binding raises no class of its own
        raise IndexUnusable(f"cannot open {directory}: {error}") from error
    return EdgePoints(shard)


class EdgePoints:
    """An open shard; the only one on its directory."""

    def __init__(self, shard: qdrant.EdgeShard) -> None:
        self._shard = shard

    async def search(self, searches: Sequence[Nearest]) -> list[list[Hit]]:
        with _engine("search"):
            return [[Hit(str(p.id), p.score) for p in self._shard.query(_request(each))] for each in searches]

    async def upsert(self, points: Sequence[Point]) -> None:
        for start in range(0, len(points), _STEP):
            with _engine("upsert"):
                step = [_point(point) for point in points[start : start + _STEP]]
                self._shard.update(qdrant.UpdateOperation.upsert_points(step))
            await asyncio.sleep(0)

    async def remove(self, within: Json) -> None:
        with _engine("remove"):
            self._shard.update(qdrant.UpdateOperation.delete_points_by_filter(_filter(within)))

    async def retrieve(self, ids: Sequence[str], *, with_payload: bool) -> dict[str, Json]:
        with _engine("retrieve"):
            found = self._shard.retrieve(list(ids), with_payload=with_payload, with_vector=False)
        return {str(point.id): point.payload or {} for point in found}

    async def any(self, within: Json) -> bool:
        one = qdrant.ScrollRequest(limit=1, filter=_filter(within), with_payload=False, with_vector=False)
        with _engine("any"):
            found, _ = self._shard.scroll(one)
        return bool(found)

    async def size(self) -> int:
        tenants = qdrant.Filter(must_not=[qdrant.IsEmptyCondition(points.TENANT)])
        with _engine("size"):
            return self._shard.count(qdrant.CountRequest(filter=tenants, exact=False))

    async def count(self, within: Json) -> int:
        with _engine("count"):
            return self._shard.count(qdrant.CountRequest(filter=_filter(within), exact=True))

    async def flush(self) -> None:
        with _engine("flush"):
            self._shard.flush()

    async def close(self) -> None:
        """Flush and release the directory."""
        with _engine("close"):
            self._shard.flush()
            self._shard.close()


def _create(directory: Path, config: qdrant.EdgeConfig) -> qdrant.EdgeShard:
    directory.mkdir(parents=True)
    shard = qdrant.EdgeShard.create(str(directory), config)
    fields: dict[str, qdrant.PayloadSchemaParams] = {
        points.TENANT: qdrant.KeywordIndexParams(is_tenant=True),
        **{name: qdrant.KeywordIndexParams() for name in points.KEYWORD_FIELDS},
        **{name: qdrant.IntegerIndexParams() for name in points.INTEGER_FIELDS},
        f"{NUMBERS}[].key": qdrant.KeywordIndexParams(nested=NUMBERS),
        f"{NUMBERS}[].number": qdrant.FloatIndexParams(nested=NUMBERS),
    }
    for field, kind in fields.items():
        shard.update(qdrant.UpdateOperation.create_field_index(field, kind))
    shard.flush()
    return shard


def _request(wanted: Nearest) -> qdrant.QueryRequest:
    if isinstance(wanted.query, Words):
        query = qdrant.Query.Nearest(_sparse(wanted.query), using=SPARSE)
    else:
        query = qdrant.Query.Nearest(list(wanted.query), using=DENSE)
    params = None
    if wanted.corpus is not None:
        params = qdrant.SearchParams(idf=qdrant.IdfParams(corpus=_filter(wanted.corpus)))
    return qdrant.QueryRequest(
        limit=wanted.limit,
        query=query,
        filter=_filter(wanted.filter),
        params=params,
        with_payload=False,
    )


def _point(point: Point) -> qdrant.Point:
    vectors: dict[str, Any] = {}
    if point.vector is not None:
        vectors[DENSE] = list(point.vector)
    if point.words is not None:
        vectors[SPARSE] = _sparse(point.words)
    return qdrant.Point(point.id, vectors, dict(point.payload))


def _sparse(words: Words) -> qdrant.SparseVector:
    return qdrant.SparseVector(list(words.indices), list(words.values))


def _filter(json: Json) -> qdrant.Filter:
    clauses = {clause: [_condition(each) for each in json[clause]] for clause in json}
    return qdrant.Filter(clauses.get("must"), clauses.get("should"), clauses.get("must_not"))


def _condition(json: Json) -> "qdrant.ConditionType":
    if "has_id" in json:
        return qdrant.HasIdCondition(set(json["has_id"]))
    if "nested" in json:
        return qdrant.NestedCondition(json["nested"]["key"], _filter(json["nested"]["filter"]))
    if "match" in json:
        return qdrant.FieldCondition(json["key"], match=_match(json["match"]))
    if "range" in json:
        return qdrant.FieldCondition(json["key"], range=qdrant.RangeFloat(**json["range"]))
    return _filter(json)


def _match(json: Mapping[str, Any]) -> qdrant.MatchAny | qdrant.MatchValue:
    return qdrant.MatchAny(json["any"]) if "any" in json else qdrant.MatchValue(json["value"])


@contextmanager
def _engine(call: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the binding raises no class of its own
        log.error("index_failed", call=call, reason=str(error))
        raise TransientError("index_failed", "The passage index failed.") from error

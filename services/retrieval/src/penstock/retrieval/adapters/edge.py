"""The index over Qdrant Edge, Qdrant's engine in this process (port: Index).

A chunk is a point with a dense and a BM25 vector; a document's head is a point without vectors and without
the tenant field, so that no search, count or removal meets it. Ids are UUIDv5 of what they stand for, so
that repeating a write changes nothing. The engine logs every write before it applies it, in order, and
replays that log when it is opened after a crash.

The binding keeps Python's interpreter lock while it searches and flushes (measured with 0.9), so a worker
thread would take nothing off the event loop: calls are made where they stand.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid5

import msgspec
import qdrant_edge as qdrant
import structlog

from penstock.messages.chat import Passage
from penstock.retrieval.adapters.tenant_shard import DENSE, DOCUMENT, SPARSE, TENANT, VERSION, TenantShard
from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.passages import Entry, Found, Vector, searchable_text
from penstock.streaming.errors import TransientError

_IDS = UUID("5b0f7a3e-6b1c-5d0e-9a55-8f6d1c0c7d21")
_DELETED = "deleted"
log = structlog.get_logger()


class IndexUnusable(Exception):
    """The index directory cannot be opened (now); the message says why."""


def open_index(directory: Path, vector_size: int) -> "EdgeIndex":
    """Open the index in `directory`, or make it, for vectors of `vector_size` numbers.

    Raises IndexUnusable when another process has it open, or it holds vectors of another size.
    """
    config = qdrant.EdgeConfig(
        vectors={DENSE: qdrant.EdgeVectorParams(vector_size, qdrant.Distance.Cosine)},
        sparse_vectors={SPARSE: qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
    )
    try:
        if not directory.exists():
            _create(directory, config)
        return EdgeIndex(qdrant.EdgeShard.load(str(directory), config))
    except Exception as error:  # the binding raises no class of its own
        raise IndexUnusable(f"cannot open {directory} (does another process use it?): {error}") from error


class EdgeIndex:
    """An open index; the only one on its directory."""

    def __init__(self, shard: qdrant.EdgeShard) -> None:
        self._shard = shard
        self._bm25 = qdrant.Bm25()

    async def head(self, key: DocumentKey) -> Head | None:
        with _engine("head"):
            points = self._shard.retrieve([_id(*key)], with_payload=True, with_vector=False)
        if not points:
            return None
        payload = points[0].payload or {}
        return Head(payload[VERSION], payload[_DELETED])

    async def supersede(self, key: DocumentKey, head: Head) -> None:
        if await self.head(key) == head:
            return
        stone = {
            "head_of": list(key),
            VERSION: head.version,
            _DELETED: head.deleted,
        }
        with _engine("supersede"):
            # In this order: a crash in between leaves the old head, and the removal is repeated.
            mine = TenantShard(self._shard, key.tenant)
            mine.remove(key.document_id, below=head.version + head.deleted)
            self._upsert([qdrant.Point(_id(*key), {}, stone)])

    async def has(self, key: DocumentKey, version: int, chunk_ids: Sequence[str]) -> bool:
        ids: list[qdrant.PointId] = [_id(*key, version, chunk_id) for chunk_id in set(chunk_ids)]
        with _engine("has"):
            points = self._shard.retrieve(ids, with_payload=False, with_vector=False)
        return len(points) == len(ids)

    async def add(self, key: DocumentKey, version: int, entries: Sequence[Entry]) -> None:
        with _engine("add"):
            self._upsert([self._point(key, version, entry) for entry in entries])

    async def flush(self) -> None:
        with _engine("flush"):
            self._shard.flush()

    async def is_empty(self, tenant: str) -> bool:
        with _engine("is_empty"):
            return TenantShard(self._shard, tenant).is_empty()

    async def count(self, tenant: str) -> int:
        with _engine("count"):
            return TenantShard(self._shard, tenant).count()

    async def search(self, tenant: str, text: str, vector: Vector, limit: int) -> list[Found]:
        with _engine("search"):
            points = TenantShard(self._shard, tenant).search(self._bm25.embed_query(text), vector, limit)
        return [Found(msgspec.convert(point.payload, Passage), point.score) for point in points]

    def close(self) -> None:
        """Flush and release the directory."""
        with _engine("close"):
            self._shard.flush()
            self._shard.close()

    def _point(self, key: DocumentKey, version: int, entry: Entry) -> qdrant.Point:
        words = self._bm25.embed_document(searchable_text(entry.passage.title, entry.passage.text))
        kept = msgspec.to_builtins(entry.passage)
        kept |= {TENANT: key.tenant, DOCUMENT: key.document_id, VERSION: version, "chunk_id": entry.chunk_id}
        return qdrant.Point(
            _id(*key, version, entry.chunk_id), {DENSE: list(entry.vector), SPARSE: words}, kept
        )

    def _upsert(self, points: list[qdrant.Point]) -> None:
        self._shard.update(qdrant.UpdateOperation.upsert_points(points))


def _create(directory: Path, config: qdrant.EdgeConfig) -> None:
    """Make an empty shard beside `directory` and rename it, so that a crash leaves no half-made one."""
    half_made = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(half_made, ignore_errors=True)
    half_made.mkdir(parents=True)
    shard = qdrant.EdgeShard.create(str(half_made), config)
    indexes: dict[str, qdrant.PayloadSchemaParams] = {
        TENANT: qdrant.KeywordIndexParams(is_tenant=True),
        DOCUMENT: qdrant.KeywordIndexParams(),
        VERSION: qdrant.IntegerIndexParams(),
    }
    for field, kind in indexes.items():
        shard.update(qdrant.UpdateOperation.create_field_index(field, kind))
    shard.flush()
    shard.close()
    half_made.rename(directory)


def _id(*parts: str | int) -> UUID:
    return uuid5(_IDS, json.dumps(parts))


@contextmanager
def _engine(call: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the binding raises no class of its own
        log.error("index_failed", call=call, reason=str(error))
        raise TransientError("index_failed", "The passage index failed.") from error

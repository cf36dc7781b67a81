"""The index over Qdrant, in this process or on a server (port: Index).

A chunk is a point with a dense and a BM25 vector; a document's head is a point without vectors and without
the tenant field, so that no search, count or removal meets it. Ids are UUIDv5 of what they stand for, so
that repeating a write changes nothing. Both kinds of Qdrant get the same BM25 vectors, made here.
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from uuid import UUID, uuid5

import msgspec
import qdrant_edge

from penstock.messages.chat import Passage
from penstock.messages.documents import searchable_text
from penstock.messages.search import Scalar
from penstock.retrieval.adapters.conditions import facts_of, numbers_of
from penstock.retrieval.adapters.points import FACTS, NUMBERS, STORE, TENANT, Point, Points, Words, store_key
from penstock.retrieval.adapters.tenant_points import Fused, TenantPoints
from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.passages import Entry, Found, Vector
from penstock.retrieval.domain.scope import Scope
from penstock.telemetry.database import database_span

COLLECTION = "passages"
"""What traces call it; in this process it is a folder, on a server what the settings say."""
LAYOUT = "2"
"""Changes with how points are kept: an index of another layout is made anew from the log."""

_IDS = UUID("5b0f7a3e-6b1c-5d0e-9a55-8f6d1c0c7d21")
_ATTRIBUTES: msgspec.json.Decoder[dict[str, Scalar]] = msgspec.json.Decoder(dict[str, Scalar])


class QdrantIndex:
    """Chunks and heads of documents as points."""

    def __init__(self, points: Points) -> None:
        self._points = points
        self._bm25 = qdrant_edge.Bm25()

    async def head(self, key: DocumentKey) -> Head | None:
        for found in (await self._points.retrieve([_id(*key)], with_payload=True)).values():
            return Head(found["version"], found["deleted"])
        return None

    async def supersede(self, key: DocumentKey, head: Head) -> None:
        if await self.head(key) == head:
            return
        # In this order: a crash in between leaves the old head, and the removal is repeated.
        mine = TenantPoints(self._points, Scope(key.tenant))
        await mine.remove(key.document_id, below=head.version + head.deleted)
        stone = {"head_of": list(key), "version": head.version, "deleted": head.deleted}
        await self._points.upsert([Point(_id(*key), stone)])

    async def has(self, key: DocumentKey, version: int, chunk_ids: Sequence[str]) -> bool:
        ids = [_id(*key, version, chunk_id) for chunk_id in set(chunk_ids)]
        return len(await self._points.retrieve(ids, with_payload=False)) == len(ids)

    async def add(self, key: DocumentKey, version: int, entries: Sequence[Entry]) -> None:
        with _span("upsert"):
            await self._points.upsert([self._point(key, version, entry) for entry in entries])

    async def flush(self) -> None:
        with _span("flush"):
            await self._points.flush()

    async def size(self) -> int:
        return await self._points.size()

    async def is_empty(self, scope: Scope) -> bool:
        return await TenantPoints(self._points, scope).is_empty()

    async def count(self, scope: Scope) -> int:
        return await TenantPoints(self._points, scope).count()

    async def search(self, scope: Scope, text: str, vector: Vector | None, limit: int) -> list[Found]:
        words = _words(self._bm25.embed_query(text))
        with _span("search"):
            fused = await TenantPoints(self._points, scope).search(words, vector, limit)
        return [_found(each) for each in fused]

    def _point(self, key: DocumentKey, version: int, entry: Entry) -> Point:
        passage = entry.passage
        words = self._bm25.embed_document(searchable_text(passage.title, passage.headings, passage.text))
        kept = msgspec.to_builtins(passage)
        kept |= {
            TENANT: key.tenant,
            STORE: store_key(key.tenant, entry.store_id),
            "store_id": entry.store_id,
            "document_id": key.document_id,
            "version": version,
            "chunk_id": entry.chunk_id,
            "attributes": msgspec.json.encode(entry.attributes).decode(),  # whole numbers stay whole
            FACTS: facts_of(entry.attributes),
            NUMBERS: numbers_of(entry.attributes),
        }
        return Point(_id(*key, version, entry.chunk_id), kept, entry.vector, _words(words))


def _span(operation: str) -> AbstractContextManager[object]:
    return database_span("qdrant", operation, collection=COLLECTION)


def _found(fused: Fused) -> Found:
    payload = fused.payload
    return Found(
        passage=msgspec.convert(payload, Passage),
        score=fused.score,
        similarity=fused.similarity,
        by_words=fused.by_words,
        store_id=payload["store_id"],
        attributes=_ATTRIBUTES.decode(payload["attributes"]),
    )


def _words(vector: qdrant_edge.SparseVector) -> Words:
    return Words(vector.indices, vector.values)


def _id(*parts: str | int) -> str:
    return str(uuid5(_IDS, json.dumps(parts)))

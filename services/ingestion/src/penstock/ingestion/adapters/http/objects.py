"""Files, stores and documents as the objects of OpenAI's API."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from fastapi import Response

from penstock.ingestion.domain.model import AUTO, Batch, Counts, Document, File, Store
from penstock.ingestion.ports import Found, Page
from penstock.messages.documents import Chunk
from penstock.messages.event import JSON

Json = dict[str, Any]
POLL_MS = 300
"""How soon to look again: the official client follows this header."""
T = TypeVar("T")


def reply(body: Json, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(msgspec.json.encode(body), status, {"openai-poll-after-ms": str(POLL_MS)}, JSON)


def file(one: File) -> Json:
    """A file."""
    return {
        "id": one.id,
        "object": "file",
        "bytes": one.size,
        "created_at": one.created_at,
        "filename": one.name,
        "purpose": one.purpose,
        "status": "processed",
        "sha256": one.digest,
    }


def store(one: Store) -> Json:
    """A vector store. Beyond OpenAI's fields: `answers`, what answers to its questions rest on."""
    days = one.expires_after_days
    return {
        "id": one.id,
        "object": "vector_store",
        "created_at": one.created_at,
        "name": one.name,
        "usage_bytes": one.usage_bytes,
        "file_counts": _counts(one.counts),
        "status": "in_progress" if one.counts.in_progress else "completed",
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": one.expires_at,
        "last_active_at": one.last_active_at,
        "metadata": one.metadata,
        "answers": one.answers,
    }


def store_file(one: Document) -> Json:
    """A file in a store. Beyond OpenAI's fields: its name, the step it is at, and what it has become."""
    chunking = one.chunking or AUTO
    failed = one.state == "failed" and one.status == "failed"
    return {
        "id": one.file_id,
        "object": "vector_store.file",
        "usage_bytes": one.size,
        "created_at": one.created_at,
        "vector_store_id": one.store_id,
        "status": one.status,
        "last_error": {"code": one.code, "message": one.message} if failed else None,
        "chunking_strategy": {
            "type": "static",
            "static": {"max_chunk_size_tokens": chunking.size, "chunk_overlap_tokens": chunking.overlap},
        },
        "attributes": one.attributes,
        "filename": one.file_name,
        "document_id": one.id,
        "state": one.state,
        "attempt": one.attempt,
        "chunks": one.chunks,
        "pages": one.pages,
        "sha256": one.digest,
    }


def batch(one: Batch) -> Json:
    """Files that were put into a store together."""
    return {
        "id": one.id,
        "object": "vector_store.files_batch",
        "created_at": one.created_at,
        "vector_store_id": one.store_id,
        "status": one.status,
        "file_counts": _counts(one.counts),
    }


def results(queries: Sequence[str], found: Sequence[Found]) -> Json:
    """What a search found. Beyond OpenAI's fields: where in the file each passage stands."""
    return {
        "object": "vector_store.search_results.page",
        "search_query": list(queries),
        "data": [
            {
                "file_id": one.file_id,
                "filename": one.file_name,
                "score": one.score,
                "attributes": one.attributes,
                "content": [{"type": "text", "text": one.text}],
                "start": one.start,
                "end": one.end,
                "headings": one.headings,
                "page": one.page,
            }
            for one in found
        ],
        "has_more": False,
        "next_page": None,
    }


def content(chunks: Sequence[Chunk]) -> Json:
    """The text of a file in a store, chunk by chunk. Beyond OpenAI's fields: which characters of it each is.

    What lies between two chunks is white space; neighbours may overlap.
    """
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": one.text, "start": one.start, "end": one.end} for one in chunks],
        "has_more": False,
        "next_page": None,
    }


def listed(found: Sequence[T], page: Page, show: Callable[[T], Json]) -> Json:
    """A page of a list; `found` has one more than its limit if there are more."""
    there_are_more = len(found) > page.limit
    backwards = bool(page.before) and not page.after
    kept = found[-page.limit :] if backwards else found[: page.limit]
    data = [show(one) for one in kept]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": there_are_more,
    }


def deleted(identity: str, kind: str) -> Json:
    """What is gone."""
    return {"id": identity, "object": kind, "deleted": True}


def _counts(counts: Counts) -> Json:
    return {
        "in_progress": counts.in_progress,
        "completed": counts.completed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "total": counts.total,
    }

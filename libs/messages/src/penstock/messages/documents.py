"""Events of documents: chunked by ingestion, indexed and forgotten by retrieval."""

from typing import Annotated, ClassVar

from msgspec import Meta

from penstock.messages.chat import Count, Name, Positive
from penstock.messages.event import Event, Part


class Chunk(Part, frozen=True, kw_only=True):
    """A piece of a document, `tokens` long for the model; `start` and `end` are characters in it."""

    chunk_id: Name
    start: Count
    end: Count
    text: Annotated[str, Meta(min_length=1)]
    tokens: Positive


class DocumentChunked(Event, frozen=True, kw_only=True):
    """documents.chunked: one part of a document in chunks; part `part` of `parts`, from 0.

    A higher `version` (milliseconds of its ingestion) replaces a lower one as a whole.
    """

    TYPE: ClassVar[str] = "penstock.document.chunked.v1"

    document_id: Name
    version: Count
    title: str
    part: Count
    parts: Positive
    chunks: Annotated[tuple[Chunk, ...], Meta(min_length=1)]


class DocumentDeleted(Event, frozen=True, kw_only=True):
    """documents.deleted: forget versions up to and including `version`."""

    TYPE: ClassVar[str] = "penstock.document.deleted.v1"

    document_id: Name
    version: Count


class DocumentIndexed(Event, frozen=True, kw_only=True):
    """documents.indexed: a part of a version is searchable with this many chunks (0: it was deleted)."""

    TYPE: ClassVar[str] = "penstock.document.indexed.v1"

    document_id: Name
    version: Count
    part: Count
    chunks: Count

"""Events of documents: chunked by ingestion, indexed and forgotten by retrieval.

A document is one file in one vector store; the same file in two stores is two documents.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from penstock.messages.chat import Count, Positive
from penstock.messages.event import Event, Part
from penstock.messages.search import DEFAULT_STORE, Attributes, Name

_TITLE_CHARACTERS = 200
Headings = Annotated[tuple[str, ...], Meta(max_length=8)]
"""The headings above a place in a document, outermost first, without the title."""
DocumentState = Literal["queued", "parsing", "embedding", "indexing", "completed", "failed", "deleted"]


class Chunk(Part, frozen=True, kw_only=True):
    """A piece of a document, `tokens` long for the model; `start` and `end` are characters in it.

    `page` counts from 1, where there are pages. `vector` is its embedding as little-endian 32-bit floats;
    a chunk without one is embedded when it is indexed.
    """

    chunk_id: Name
    start: Count
    end: Count
    text: Annotated[str, Meta(min_length=1)]
    tokens: Positive
    headings: Headings = ()
    page: Positive | None = None
    vector: bytes = b""


class DocumentChunked(Event, frozen=True, kw_only=True):
    """documents.chunked: one part of a document in chunks; part `part` of `parts`, from 0.

    A higher `version` (milliseconds of its ingestion) replaces a lower one as a whole. `language` is a
    two-letter code (ISO 639-1), empty where unknown. A record of this type without a body takes back the one
    with the same key, which Kafka then removes.
    """

    TYPE: ClassVar[str] = "penstock.document.chunked.v1"

    document_id: Name
    version: Count
    title: str
    part: Count
    parts: Positive
    chunks: Annotated[tuple[Chunk, ...], Meta(min_length=1)]
    store_id: Name = DEFAULT_STORE
    file_id: str = ""
    file_name: str = ""
    attributes: Attributes = field(default_factory=dict)
    language: str = ""

    @property
    def slot(self) -> tuple[int, ...]:
        """Version and part: a writer that comes late can replace nothing but its own version."""
        return self.version, self.part


class DocumentDeleted(Event, frozen=True, kw_only=True):
    """documents.deleted: forget versions up to and including `version`."""

    TYPE: ClassVar[str] = "penstock.document.deleted.v1"

    document_id: Name
    version: Count


class DocumentIndexed(Event, frozen=True, kw_only=True):
    """documents.indexed: a part of a version is searchable with this many chunks.

    0: the part has come too late, as a later version or a deletion was there before. Or, with `deleted`, the
    document is forgotten up to and including this version.
    """

    TYPE: ClassVar[str] = "penstock.document.indexed.v1"

    document_id: Name
    version: Count
    part: Count
    chunks: Count
    deleted: bool = False


class DocumentStateChanged(Event, frozen=True, kw_only=True):
    """documents.states: how far a document is, and why it failed.

    `completed` and `failed` are final for this version; `code` and `message` say why it failed, without
    anything of its content. `attempt` counts from 1.
    """

    TYPE: ClassVar[str] = "penstock.document.state.v1"

    document_id: Name
    version: Count
    store_id: Name
    file_id: Name
    file_name: str
    state: DocumentState
    attempt: Count = 0
    chunks: Count = 0
    pages: Count = 0
    code: str = ""
    message: str = ""


def searchable_text(title: str, headings: Sequence[str], text: str) -> str:
    """Return what is embedded and searched for a chunk: what stands above it says what it is about."""
    above = " > ".join([title[:_TITLE_CHARACTERS], *(heading[:_TITLE_CHARACTERS] for heading in headings)])
    return f"{above}\n{text}"

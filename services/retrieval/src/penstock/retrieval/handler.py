"""What retrieval does with each message: finds passages for a question, indexes and forgets documents."""

from collections.abc import AsyncGenerator, Sequence

from penstock.messages.chat import ChatRetrieved, ChatTokenized, Passage
from penstock.messages.documents import (
    Chunk,
    DocumentChunked,
    DocumentDeleted,
    DocumentIndexed,
    searchable_text,
)
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_RETRIEVED, DOCUMENTS_INDEXED
from penstock.retrieval.domain.documents import MAX_VERSION, DocumentKey, Head, after
from penstock.retrieval.domain.packing import MAX_PASSAGES, fits_any, pack
from penstock.retrieval.domain.passages import Entry, Vector
from penstock.retrieval.domain.relevance import is_relevant
from penstock.retrieval.domain.scope import scope_of
from penstock.retrieval.domain.vectors import UnusableVector, decode_vector
from penstock.retrieval.ports import Embedder, Index
from penstock.retrieval.relevance_floor import RelevanceFloor
from penstock.retrieval.searching import Searcher
from penstock.streaming.errors import PermanentError
from penstock.streaming.stage import Caused, Outgoing, Received

CANDIDATES = 20
"""Passages to choose from: more than fit, since some are too long, the same, or of no help."""


class Retriever:
    """Answers chat.tokenized: finds the passages that help with a question."""

    def __init__(self, searcher: Searcher, floor: RelevanceFloor) -> None:
        self._searcher = searcher
        self._floor = floor

    async def retrieve(self, received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        """Send the question on with the best passages that fit its token budget."""
        asked = received.event
        if not isinstance(asked, ChatTokenized):
            raise _unexpected(asked)
        yield Outgoing(
            CHAT_RETRIEVED,
            ChatRetrieved(
                model=asked.model,
                prompt_before=asked.prompt_before,
                prompt_after=asked.prompt_after,
                prompt_tokens=asked.prompt_tokens,
                passages=await self._passages(received.envelope.tenant, asked),
                sampling=asked.sampling,
                query=asked.query,
                answers=asked.answers,
                may_quote=asked.may_quote,
            ),
        )

    async def _passages(self, tenant: str, asked: ChatTokenized) -> tuple[Passage, ...]:
        query, search = asked.query, asked.search
        if not fits_any(asked.passage_tokens) or not query.strip():
            return ()
        most = search.max_results or MAX_PASSAGES
        found = await self._searcher.search(
            scope_of(tenant, search),
            [query],
            max(CANDIDATES, 2 * most),
            words_suffice=asked.answers == "quote",
        )
        floor = self._floor.value
        relevant = [each for each in found if is_relevant(query, each, floor, search.min_score)]
        return pack(relevant, asked.passage_tokens, most)


class Indexer:
    """Answers documents.chunked and documents.deleted: keeps the index at each document's last version.

    Vectors have `vector_size` numbers. With `announces` False it keeps silent: of several replicas one tells
    that a document is indexed.
    """

    def __init__(self, embedder: Embedder, index: Index, vector_size: int, *, announces: bool = True) -> None:
        self._embedder = embedder
        self._index = index
        self._vector_size = vector_size
        self._announces = announces

    async def index(self, batch: Sequence[Received[Event]]) -> list[Caused]:
        """Bring the index to where the batch leads, and say what is searchable of each part.

        Every event is answered, one that came too late with no chunks, so that no client waits in vain.
        Nothing is answered before it is durable. Repeating a batch, or a part of it, changes nothing.
        """
        events = [(received, _document_event(received.event)) for received in batch]
        heads = await self._heads(events)
        caused: list[Caused] = []
        for received, event in events:
            key = _key(received, event)
            if isinstance(event, DocumentDeleted):
                await self._index.supersede(key, heads[key])
                done = DocumentIndexed(
                    document_id=event.document_id, version=event.version, part=0, chunks=0, deleted=True
                )
            else:
                chunks = await self._add(key, event, heads[key])
                done = DocumentIndexed(
                    document_id=event.document_id, version=event.version, part=event.part, chunks=chunks
                )
            caused.append(Caused(received, Outgoing(DOCUMENTS_INDEXED, done)))
        await self._index.flush()
        return caused if self._announces else []

    async def _heads(
        self, events: Sequence[tuple[Received[Event], DocumentChunked | DocumentDeleted]]
    ) -> dict[DocumentKey, Head]:
        """Return the head of each document after the whole batch: what it replaces needs no embedding."""
        heads: dict[DocumentKey, Head] = {}
        for received, event in events:
            key = _key(received, event)
            known = heads[key] if key in heads else await self._index.head(key)
            heads[key] = after(known, event)
        return heads

    async def _add(self, key: DocumentKey, event: DocumentChunked, head: Head) -> int:
        """Add a part if its version is the document's head; return how many of its chunks are searchable."""
        if head != Head(event.version, deleted=False):
            return 0
        if not await self._index.has(key, event.version, [chunk.chunk_id for chunk in event.chunks]):
            # Embedding takes longest and may fail: the version before stays searchable until it is done.
            vectors = await self._vectors(event)
            entries = [
                _entry(event, chunk, vector) for chunk, vector in zip(event.chunks, vectors, strict=True)
            ]
            await self._index.supersede(key, head)
            await self._index.add(key, event.version, entries)
        return len(event.chunks)

    async def _vectors(self, event: DocumentChunked) -> list[Vector]:
        """Return the vectors of a part's chunks; those that come without one are embedded."""
        bare = [chunk for chunk in event.chunks if not chunk.vector]
        texts = [searchable_text(event.title, chunk.headings, chunk.text) for chunk in bare]
        embedded = iter(await self._embedder.embed(texts) if texts else [])
        return [self._decoded(chunk) if chunk.vector else next(embedded) for chunk in event.chunks]

    def _decoded(self, chunk: Chunk) -> Vector:
        try:
            return decode_vector(chunk.vector, self._vector_size)
        except UnusableVector as error:
            raise PermanentError("invalid_vector", f"chunk {chunk.chunk_id} has {error}", 400) from error


def _entry(event: DocumentChunked, chunk: Chunk, vector: Vector) -> Entry:
    passage = Passage(
        document_id=event.document_id,
        title=event.title,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        tokens=chunk.tokens,
        file_id=event.file_id,
        file_name=event.file_name,
        headings=chunk.headings,
        page=chunk.page,
    )
    return Entry(chunk.chunk_id, passage, vector, event.store_id, event.attributes)


def _key(received: Received[Event], event: DocumentChunked | DocumentDeleted) -> DocumentKey:
    return DocumentKey(received.envelope.tenant, event.document_id)


def _document_event(event: Event) -> DocumentChunked | DocumentDeleted:
    if not isinstance(event, DocumentChunked | DocumentDeleted):
        raise _unexpected(event)
    if event.version > MAX_VERSION:
        raise PermanentError("invalid_version", f"a document's version is at most {MAX_VERSION}", 400)
    return event


def _unexpected(event: Event) -> PermanentError:
    return PermanentError("unexpected_event", f"retrieval does not handle {event.TYPE}")

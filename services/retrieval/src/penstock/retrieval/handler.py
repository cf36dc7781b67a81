"""What retrieval does with each message: finds passages for a question, indexes and forgets documents."""

from collections.abc import AsyncGenerator, Sequence

from penstock.messages.chat import ChatRetrieved, ChatTokenized, Passage
from penstock.messages.documents import DocumentChunked, DocumentDeleted, DocumentIndexed
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_RETRIEVED, DOCUMENTS_INDEXED
from penstock.retrieval.domain.documents import MAX_VERSION, DocumentKey, Head, after
from penstock.retrieval.domain.passages import Entry, fill_budget, fits_any, searchable_text
from penstock.retrieval.ports import Embedder, Index
from penstock.streaming.errors import PermanentError
from penstock.streaming.stage import Caused, Outgoing, Received

CANDIDATES = 20
"""Passages to choose from: more than fit, since some are too long or the same."""


class Retriever:
    """Answers chat.tokenized: finds the passages that help with a question."""

    def __init__(self, embedder: Embedder, index: Index) -> None:
        self._embedder = embedder
        self._index = index

    async def retrieve(self, received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        """Send the question on with the best passages that fit its token budget."""
        asked = received.event
        if not isinstance(asked, ChatTokenized):
            raise _unexpected(asked)
        passages = await self._passages(received.envelope.tenant, asked.query, asked.passage_tokens)
        yield Outgoing(
            CHAT_RETRIEVED,
            ChatRetrieved(
                model=asked.model,
                prompt_before=asked.prompt_before,
                prompt_after=asked.prompt_after,
                prompt_tokens=asked.prompt_tokens,
                passages=passages,
                sampling=asked.sampling,
            ),
        )

    async def _passages(self, tenant: str, query: str, budget: int) -> tuple[Passage, ...]:
        if not fits_any(budget) or not query.strip() or await self._index.is_empty(tenant):
            return ()
        [vector] = await self._embedder.embed([query])
        return fill_budget(await self._index.search(tenant, query, vector, CANDIDATES), budget)


class Indexer:
    """Answers documents.chunked and documents.deleted: keeps the index at each document's last version.

    With `announces` False it keeps silent: of several replicas one tells that a document is indexed.
    """

    def __init__(self, embedder: Embedder, index: Index, *, announces: bool = True) -> None:
        self._embedder = embedder
        self._index = index
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
                done = _indexed(event, part=0, chunks=0)
            else:
                chunks = await self._add(key, event, heads[key])
                done = _indexed(event, part=event.part, chunks=chunks)
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
            entries = await self._entries(event)
            await self._index.supersede(key, head)
            await self._index.add(key, event.version, entries)
        return len(event.chunks)

    async def _entries(self, event: DocumentChunked) -> list[Entry]:
        vectors = await self._embedder.embed(
            [searchable_text(event.title, chunk.text) for chunk in event.chunks]
        )
        return [
            Entry(
                chunk_id=chunk.chunk_id,
                passage=Passage(
                    document_id=event.document_id,
                    title=event.title,
                    start=chunk.start,
                    end=chunk.end,
                    text=chunk.text,
                    tokens=chunk.tokens,
                ),
                vector=vector,
            )
            for chunk, vector in zip(event.chunks, vectors, strict=True)
        ]


def _key(received: Received[Event], event: DocumentChunked | DocumentDeleted) -> DocumentKey:
    return DocumentKey(received.envelope.tenant, event.document_id)


def _indexed(event: DocumentChunked | DocumentDeleted, *, part: int, chunks: int) -> DocumentIndexed:
    return DocumentIndexed(document_id=event.document_id, version=event.version, part=part, chunks=chunks)


def _document_event(event: Event) -> DocumentChunked | DocumentDeleted:
    if not isinstance(event, DocumentChunked | DocumentDeleted):
        raise _unexpected(event)
    if event.version > MAX_VERSION:
        raise PermanentError("invalid_version", f"a document's version is at most {MAX_VERSION}", 400)
    return event


def _unexpected(event: Event) -> PermanentError:
    return PermanentError("unexpected_event", f"retrieval does not handle {event.TYPE}")

"""Brings documents into the index: chunk, write documents.chunked, wait for documents.indexed."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from penstock.devstack.chunking import chunk
from penstock.devstack.documents import Document, chunk_id, document_id
from penstock.devstack.errors import DevstackError
from penstock.devstack.tokens import Tokenizer
from penstock.messages.documents import Chunk, DocumentChunked, DocumentIndexed
from penstock.messages.envelope import Envelope
from penstock.messages.event import InvalidEvent
from penstock.messages.topics import DOCUMENTS_CHUNKED, DOCUMENTS_INDEXED
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.ports import BrokerError, Partition, Producer, Reader
from penstock.streaming.records import decode, send

SOURCE = "penstock-ingest"
CHUNKS_PER_PART = 64
"""A part is one record: about 64 kB of text, far below the broker's limit."""
PARTS_AHEAD = 32
"""So many parts may wait for the index: memory stays bounded however large the folder is."""
SILENCE_S = 60.0
_POLL_S = 0.2

Key = tuple[str, int, int]
"""Document, version, part."""


@dataclass
class Progress:
    """Counts for a progress display; ``changed`` is called after every difference."""

    changed: Callable[[Progress], None] = lambda _: None
    documents: int = 0
    chunks: int = 0
    indexed: int = 0

    def add(self, *, documents: int = 0, chunks: int = 0, indexed: int = 0) -> None:
        """Adds to the counts."""
        self.documents += documents
        self.chunks += chunks
        self.indexed += indexed
        self.changed(self)


@dataclass
class _Waiting:
    """Parts written and not yet indexed, with their numbers of chunks."""

    parts: dict[Key, int] = field(default_factory=dict)
    fewer: asyncio.Condition = field(default_factory=asyncio.Condition)


async def ingest(
    bootstrap: str, tokenizer: Tokenizer, tenant: str, documents: Iterable[Document], progress: Progress
) -> None:
    """Returns when every document can be found.

    DevstackError if the broker or the tokenizer fails, or nothing moves for a minute.
    """
    try:
        partitions = [Partition(DOCUMENTS_INDEXED.name, n) for n in range(DOCUMENTS_INDEXED.partitions)]
        reader = await open_reader(bootstrap, partitions, "end")
        try:
            producer = await open_producer(bootstrap, [DOCUMENTS_CHUNKED.name])
            try:
                await _ingest(producer, reader, tokenizer, tenant, documents, progress)
            finally:
                await producer.close()
        finally:
            await reader.close()
    except BrokerError as error:
        raise DevstackError(f"Kafka at {bootstrap}: {error}") from error


async def _ingest(
    producer: Producer,
    reader: Reader,
    tokenizer: Tokenizer,
    tenant: str,
    documents: Iterable[Document],
    progress: Progress,
) -> None:
    waiting = _Waiting()
    written = asyncio.Event()
    watch = asyncio.create_task(_watch(reader, waiting, written, progress))
    write = asyncio.create_task(_write(producer, tokenizer, tenant, documents, waiting, progress))
    write.add_done_callback(lambda _: written.set())
    try:
        done, _ = await asyncio.wait({watch, write}, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in (watch, write):
            task.cancel()
        await asyncio.gather(watch, write, return_exceptions=True)


async def _write(
    producer: Producer,
    tokenizer: Tokenizer,
    tenant: str,
    documents: Iterable[Document],
    waiting: _Waiting,
    progress: Progress,
) -> None:
    for document in documents:
        borders = await tokenizer.borders(document.text)
        if not borders:
            raise DevstackError(f"The model server finds no tokens in {document.name}")
        progress.add(documents=1)
        for event in events_of(document, borders, tenant, version=int(time.time() * 1000)):
            async with waiting.fewer:
                await waiting.fewer.wait_for(lambda: len(waiting.parts) < PARTS_AHEAD)
                waiting.parts[event.document_id, event.version, event.part] = len(event.chunks)
            progress.add(chunks=len(event.chunks))
            await send(producer, DOCUMENTS_CHUNKED, _envelope(event, tenant), event)


async def _watch(reader: Reader, waiting: _Waiting, written: asyncio.Event, progress: Progress) -> None:
    last_move = time.monotonic()
    before = (0, 0)
    while waiting.parts or not written.is_set():
        for record in await reader.poll(_POLL_S):
            try:
                event = decode(record, DOCUMENTS_INDEXED).event
            except InvalidEvent:
                continue  # somebody else's bytes
            if isinstance(event, DocumentIndexed):
                await _indexed(event, waiting, progress)
        now = (progress.chunks, progress.indexed)
        if now != before:
            before, last_move = now, time.monotonic()
        if time.monotonic() - last_move > SILENCE_S:
            raise DevstackError(
                f"No document was indexed for {SILENCE_S:g} s ({len(waiting.parts)} parts outstanding):"
                " see `penstock status` and `penstock logs retrieval`"
            )


async def _indexed(event: DocumentIndexed, waiting: _Waiting, progress: Progress) -> None:
    async with waiting.fewer:
        chunks = waiting.parts.pop((event.document_id, event.version, event.part), None)
        waiting.fewer.notify_all()
    if chunks is not None:
        progress.add(indexed=chunks)


def events_of(
    document: Document, borders: list[tuple[int, int]], tenant: str, version: int
) -> Iterator[DocumentChunked]:
    """The document's events, one for each part of at most CHUNKS_PER_PART chunks."""
    identity = document_id(tenant, document.name)
    spans = chunk(document.text, borders)
    parts = [spans[at : at + CHUNKS_PER_PART] for at in range(0, len(spans), CHUNKS_PER_PART)]
    for number, part in enumerate(parts):
        chunks = tuple(
            Chunk(
                chunk_id=chunk_id(identity, span.start, document.text[span.start : span.end]),
                start=span.start,
                end=span.end,
                text=document.text[span.start : span.end],
                tokens=span.tokens,
            )
            for span in part
        )
        yield DocumentChunked(
            document_id=identity,
            version=version,
            title=document.title,
            part=number,
            parts=len(parts),
            chunks=chunks,
        )


def _envelope(event: DocumentChunked, tenant: str) -> Envelope:
    return Envelope(
        id=uuid.uuid4().hex,
        type=event.TYPE,
        source=SOURCE,
        time_ms=event.version,
        subject=event.document_id,
        tenant=tenant,
    )

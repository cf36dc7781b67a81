"""Ingestion against a real broker, with a model server and an index that are played here."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from penstock.devstack import ingest as module
from penstock.devstack.documents import Document, document_id
from penstock.devstack.errors import DevstackError
from penstock.devstack.ingest import Progress, events_of, ingest
from penstock.devstack.network import free_ports
from penstock.devstack.tokens import Tokenizer
from penstock.messages.documents import DocumentChunked, DocumentIndexed
from penstock.messages.topics import DOCUMENTS_CHUNKED, DOCUMENTS_INDEXED
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.admin import ensure_topics
from penstock.streaming.ports import Partition
from penstock.streaming.records import decode, send
from penstock.streaming.stage import Received


def tokenize(request: httpx2.Request) -> httpx2.Response:
    text = json.loads(request.content)["inputs"]
    found = re.finditer(r"\s?\w+|[^\w]", text)
    tokens = [{"id": 1, "text": m.group(), "start": m.start(), "stop": m.end()} for m in found]
    return httpx2.Response(200, json=tokens)


def tokenizer(answer: httpx2.MockTransport | None = None) -> Tokenizer:
    client = httpx2.AsyncClient(transport=answer or httpx2.MockTransport(tokenize))
    return Tokenizer(client, "http://model")


@asynccontextmanager
async def index(bootstrap: str) -> AsyncIterator[list[Received[DocumentChunked]]]:
    """Plays retrieval: answers every documents.chunked with documents.indexed, and junk before it."""
    await ensure_topics(bootstrap)
    partitions = [Partition(DOCUMENTS_CHUNKED.name, n) for n in range(DOCUMENTS_CHUNKED.partitions)]
    reader = await open_reader(bootstrap, partitions, "end")
    producer = await open_producer(bootstrap, [DOCUMENTS_INDEXED.name])
    seen: list[Received[DocumentChunked]] = []

    async def serve() -> None:
        while True:
            for record in await reader.poll(0.1):
                received = decode(record, DOCUMENTS_CHUNKED)
                event = received.event
                assert isinstance(event, DocumentChunked)
                seen.append(Received(event, received.envelope, received.partition, received.offset))
                done = DocumentIndexed(
                    document_id=event.document_id,
                    version=event.version,
                    part=event.part,
                    chunks=len(event.chunks),
                )
                envelope = received.envelope.caused(done.TYPE, nth=0, source="index", time_ms=1)
                await producer.send(DOCUMENTS_INDEXED.name, b"junk", b"\xff", [])
                await send(producer, DOCUMENTS_INDEXED, envelope, done)

    serving = asyncio.create_task(serve())
    try:
        yield seen
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await producer.close()
        await reader.close()


async def test_every_document_is_written_and_waited_for(kafka_broker: str) -> None:
    long = "".join(f"Sentence number {n} is here. " for n in range(4000))
    documents = [Document("a.md", "A", "Some words."), Document("b/long.txt", "Long", long)]
    shown: list[tuple[int, int, int]] = []
    progress = Progress(lambda now: shown.append((now.documents, now.chunks, now.indexed)))
    async with index(kafka_broker) as seen:
        await asyncio.wait_for(ingest(kafka_broker, tokenizer(), "acme", documents, progress), 30)
    assert progress.documents == 2
    assert progress.indexed == progress.chunks > 64
    assert shown == sorted(shown)
    by_document = {received.event.document_id for received in seen}
    assert by_document == {document_id("acme", "a.md"), document_id("acme", "b/long.txt")}
    assert {(received.envelope.tenant, received.envelope.subject) for received in seen} == {
        ("acme", identity) for identity in by_document
    }
    parts = [received.event for received in seen if received.event.title == "Long"]
    assert [part.part for part in parts] == list(range(parts[0].parts))
    assert parts[0].parts > 1
    for part in parts:
        assert all(chunk.text == long[chunk.start : chunk.end] for chunk in part.chunks)


async def test_an_index_that_says_nothing(kafka_broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await ensure_topics(kafka_broker)
    monkeypatch.setattr(module, "SILENCE_S", 0.5)
    with pytest.raises(DevstackError, match=r"No document was indexed for 0\.5 s \(1 parts outstanding\)"):
        await ingest(kafka_broker, tokenizer(), "t", [Document("a.md", "A", "text")], Progress())


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx2.Response(503), "/tokenize answered HTTP 503"),
        (httpx2.Response(200, json={"no": "list"}), "gives no token offsets"),
        (httpx2.Response(200, json=[]), r"finds no tokens in a\.md"),
    ],
)
async def test_a_model_server_that_cannot_tokenize(
    kafka_broker: str, response: httpx2.Response, message: str
) -> None:
    await ensure_topics(kafka_broker)
    broken = tokenizer(httpx2.MockTransport(lambda _: response))
    with pytest.raises(DevstackError, match=message):
        await ingest(kafka_broker, broken, "t", [Document("a.md", "A", "text")], Progress())


async def test_no_broker() -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(DevstackError, match=f"Kafka at {nobody}"):
        await ingest(nobody, tokenizer(), "t", [], Progress())


async def test_a_long_text_is_tokenized_in_pieces_with_offsets_of_the_whole() -> None:
    text = "word " * 10_000
    borders = await tokenizer().borders(text)
    assert [text[start:stop].strip() for start, stop in borders if text[start:stop].strip()] == [
        "word"
    ] * 10_000


def test_the_same_text_gives_the_same_chunks() -> None:
    document = Document("a.md", "A", "One two.")
    borders = [(0, 3), (3, 7), (7, 8)]
    first, second = (list(events_of(document, borders, "t", version)) for version in (1, 2))
    assert first[0].chunks == second[0].chunks
    assert (first[0].version, second[0].version) == (1, 2)

"""A whole ingestion service in one event loop, over a real broker: the app, a worker, and small servers
in place of the model and the index."""

import asyncio
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import uvicorn
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from penstock.clients.tei import TeiEmbedder
from penstock.ingestion.adapters.blobs import ObjectBlobs
from penstock.ingestion.adapters.log import Connection
from penstock.ingestion.adapters.parsing.sandbox import SandboxedParser
from penstock.ingestion.adapters.publisher import LogPublisher
from penstock.ingestion.adapters.tokens import TgiTokenizer
from penstock.ingestion.handler.work import Tools, Worker
from penstock.ingestion.main import App
from penstock.ingestion.settings import AppSettings
from penstock.messages.documents import Chunk, DocumentChunked, DocumentDeleted, DocumentIndexed
from penstock.messages.envelope import Envelope
from penstock.messages.topics import DOCUMENTS_CHUNKED, DOCUMENTS_DELETED, DOCUMENTS_INDEXED, TOPICS
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.admin.topics import ensure_topics
from penstock.streaming.clock import unix_ms
from penstock.streaming.ports import Partition
from penstock.streaming.records import decode, send, takes_back
from penstock.telemetry.readiness import Readiness

VECTOR_SIZE = 8


class ModelServer:
    """Speaks TGI's /tokenize (a word is a token) and TEI's /embed; `down` has it answer 503."""

    def __init__(self) -> None:
        self.embedded: list[str] = []
        self.down = False
        self.app = Starlette(
            routes=[
                Route("/tokenize", self._tokenize, methods=["POST"]),
                Route("/tei/embed", self._embed, methods=["POST"]),
                Route("/tei/info", self._info),
                Route("/search", self._search, methods=["POST"]),
            ]
        )
        self.searches: list[dict[str, Any]] = []

    async def _tokenize(self, request: Request) -> Response:
        text = (await request.json())["inputs"]
        words = re.finditer(r"\S+", text)
        return JSONResponse([{"id": 1, "text": "", "start": w.start(), "stop": w.end()} for w in words])

    async def _embed(self, request: Request) -> Response:
        if self.down:
            return JSONResponse({"error": "down"}, 503)
        inputs = (await request.json())["inputs"]
        self.embedded += inputs
        return JSONResponse([[b / 256 for b in blake2b(t.encode(), digest_size=8).digest()] for t in inputs])

    async def _info(self, _request: Request) -> Response:
        return JSONResponse({"model_id": "test-embeddings"})

    async def _search(self, request: Request) -> Response:
        self.searches.append(await request.json())
        found = {
            "document_id": "d",
            "store_id": "vs",
            "file_id": "file-1",
            "file_name": "a.md",
            "title": "A",
            "headings": ["One"],
            "page": 2,
            "start": 3,
            "end": 9,
            "text": "penstock",
            "tokens": 1,
            "attributes": {"team": "core"},
            "score": 0.75,
        }
        return JSONResponse({"results": [found]})


class Index:
    """Stands for retrieval: keeps what documents.chunked says, and acknowledges it unless `silent`."""

    def __init__(self) -> None:
        self.chunks: dict[tuple[str, int], dict[str, Chunk]] = {}
        self.events: list[DocumentChunked] = []
        self.deleted: list[DocumentDeleted] = []
        self.taken_back: list[bytes | None] = []
        self.silent = False

    async def run(self, bootstrap: str) -> None:
        topics = {topic.name: topic for topic in (DOCUMENTS_CHUNKED, DOCUMENTS_DELETED)}
        partitions = [Partition(t.name, n) for t in topics.values() for n in range(t.partitions)]
        reader = await open_reader(bootstrap, partitions, "end")
        producer = await open_producer(bootstrap, [DOCUMENTS_INDEXED.name])
        try:
            while True:
                for record in await reader.poll(0.05):
                    if takes_back(record, topic := topics[record.partition.topic]):
                        self.taken_back.append(record.key)
                        continue
                    received = decode(record, topic)
                    event = received.event
                    if isinstance(event, DocumentDeleted):
                        self.deleted.append(event)
                    elif isinstance(event, DocumentChunked):
                        self._take(event)
                    if not self.silent:
                        await send(producer, DOCUMENTS_INDEXED, *_indexed(event, received.envelope))
        finally:
            await reader.close()
            await producer.close()

    def _take(self, event: DocumentChunked) -> None:
        self.events.append(event)
        kept = self.chunks.setdefault((event.document_id, event.version), {})
        kept.update({chunk.chunk_id: chunk for chunk in event.chunks})

    def of(self, document_id: str) -> list[Chunk]:
        """The chunks of a document's last version."""
        versions = [version for identity, version in self.chunks if identity == document_id]
        return list(self.chunks[document_id, max(versions)].values()) if versions else []


def _indexed(event: Any, cause: Envelope) -> tuple[Envelope, DocumentIndexed]:
    deleted = isinstance(event, DocumentDeleted)
    done = DocumentIndexed(
        document_id=event.document_id,
        version=event.version,
        part=0 if deleted else event.part,
        chunks=0 if deleted else len(event.chunks),
        deleted=deleted,
    )
    envelope = msgspec.structs.replace(
        cause, id=uuid4().hex, type=done.TYPE, source="/test", time_ms=unix_ms()
    )
    return envelope, done


class Ingestion:
    """The running service."""

    def __init__(self, settings: AppSettings, app: App, model: ModelServer, index: Index) -> None:
        self.settings = settings
        self.app = app
        self.model = model
        self.index = index

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.ingestion_port}"

    def client(self, tenant: str = "acme") -> AsyncOpenAI:
        """The official client, as a tenant that the gateway has authenticated."""
        return AsyncOpenAI(
            base_url=f"{self.url}/v1",
            api_key="unused",
            max_retries=0,
            default_headers={"x-penstock-tenant": tenant},
        )


@asynccontextmanager
async def running(bootstrap: str, folder: Path, **settings: Any) -> AsyncGenerator[Ingestion, None]:
    """Run the service with one worker, until the block ends."""
    await ensure_topics(bootstrap, TOPICS)
    model, index = ModelServer(), Index()
    async with _served(model.app) as model_url, asyncio.TaskGroup() as tasks:
        port = _free_port()
        given = AppSettings(
            state=folder,
            kafka=bootstrap,
            ingestion_port=port,
            retrieval=model_url,
            backends=f"tgi+{model_url}",
            embeddings=f"{model_url}/tei",
            embedding_size=VECTOR_SIZE,
            **settings,
        )
        app = App(given)
        stop = asyncio.Event()
        background = [tasks.create_task(index.run(bootstrap)), tasks.create_task(_work(given, app, stop))]
        serving = tasks.create_task(app.run(socket.create_server(("127.0.0.1", port)), stop))
        try:
            await until(lambda: app.readiness.is_ready, 30)
            yield Ingestion(given, app, model, index)
        finally:
            stop.set()
            await serving
            for task in background:
                task.cancel()


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)


async def _work(settings: AppSettings, app: App, stop: asyncio.Event) -> None:
    """One worker that looks for work by itself: Celery's bell has tests of its own."""
    readiness = Readiness("kafka")
    connection = Connection(settings.kafka, readiness, app.clock)
    connecting = asyncio.create_task(connection.run())
    embedder = TeiEmbedder(settings.embeddings, settings.embedding_size)
    tokenizer = TgiTokenizer(settings.backends[0].url)
    tools = Tools(
        SandboxedParser(),
        tokenizer,
        embedder,
        LogPublisher(connection, app.clock),
    )
    records = app.records
    worker = Worker(
        records.jobs, records.documents, ObjectBlobs(settings.blobs_url()), tools, "test", uuid4().hex
    )
    try:
        while not stop.is_set():
            if readiness.is_ready and app.readiness.is_ready:
                await worker.drain(stop)
            await asyncio.sleep(0.05)
    finally:
        connecting.cancel()
        with suppress(asyncio.CancelledError):
            await connecting
        await embedder.close()
        await tokenizer.close()


@asynccontextmanager
async def _served(app: Starlette) -> AsyncIterator[str]:
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server._serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])

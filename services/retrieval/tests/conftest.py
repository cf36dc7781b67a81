"""Fakes and makers that the tests of retrieval share."""

import os
import re
import struct
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

import pytest
from qdrant_client import AsyncQdrantClient

from libs.clients.tests.tei_server import TeiServer, serving
from libs.database.tests import containers
from libs.database.tests.servers import IN_CONTAINERS
from penstock.messages.chat import Passage
from penstock.messages.documents import Chunk, DocumentChunked, DocumentDeleted
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.search import DEFAULT_STORE, Scalar
from penstock.retrieval.adapters.edge import open_points
from penstock.retrieval.adapters.memory import MemoryIndex
from penstock.retrieval.adapters.qdrant import QdrantIndex
from penstock.retrieval.adapters.server import ServerPoints, create_collection
from penstock.retrieval.domain.passages import Entry, Vector
from penstock.retrieval.handler import Indexer
from penstock.retrieval.ports import Embedder, Index
from penstock.streaming.ports import Partition
from penstock.streaming.stage import Received

VECTOR_SIZE = 64
MODEL_LENGTH = 256


def embed_words(text: str) -> Vector:
    """Return a vector in which texts that share words lie close."""
    vector = [0.001] * VECTOR_SIZE
    for word in re.findall(r"\w+", text.lower()):
        vector[blake2b(word.encode(), digest_size=2).digest()[0] % VECTOR_SIZE] += 1.0
    length = sum(x * x for x in vector) ** 0.5
    return [x / length for x in vector]


@dataclass
class FakeEmbedder:
    """Port: Embedder. `failures` are raised first, one a call; `calls` are the texts asked for."""

    failures: list[Exception] = field(default_factory=list)
    calls: list[list[str]] = field(default_factory=list)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append(list(texts))
        return [embed_words(text) for text in texts]


class Make:
    """Makes entries and messages with the fields that a test does not care about filled in."""

    embedding = staticmethod(embed_words)

    def entry(
        self,
        text: str,
        chunk_id: str = "c0",
        document_id: str = "doc",
        start: int = 0,
        store_id: str = DEFAULT_STORE,
        attributes: Mapping[str, Scalar] | None = None,
    ) -> Entry:
        passage = Passage(
            document_id=document_id,
            title="Title",
            start=start,
            end=start + len(text),
            text=text,
            tokens=len(text.split()),
            file_id="file-1",
            file_name="notes.md",
            headings=("Chapter",),
            page=3,
        )
        return Entry(chunk_id, passage, embed_words(text), store_id, attributes or {})

    def chunked(
        self,
        *texts: str,
        document_id: str = "doc",
        version: int = 1,
        part: int = 0,
        parts: int = 1,
        store_id: str = DEFAULT_STORE,
        attributes: Mapping[str, Scalar] | None = None,
        with_vectors: bool = False,
    ) -> DocumentChunked:
        chunks = tuple(
            Chunk(
                chunk_id=f"p{part}c{n}",
                start=0,
                end=len(text),
                text=text,
                tokens=max(1, len(text.split())),
                vector=struct.pack(f"<{VECTOR_SIZE}f", *embed_words(text)) if with_vectors else b"",
            )
            for n, text in enumerate(texts)
        )
        return DocumentChunked(
            document_id=document_id,
            version=version,
            title="Title",
            part=part,
            parts=parts,
            chunks=chunks,
            store_id=store_id,
            file_id=f"file-of-{document_id}",
            file_name="notes.md",
            attributes=dict(attributes or {}),
        )

    def indexer(self, embedder: Embedder, index: Index, *, announces: bool = True) -> Indexer:
        return Indexer(embedder, index, VECTOR_SIZE, announces=announces)

    def deleted(self, document_id: str = "doc", version: int = 1) -> DocumentDeleted:
        return DocumentDeleted(document_id=document_id, version=version)

    def received(self, event: Event, tenant: str = "acme") -> Received[Event]:
        envelope = Envelope(
            id="id", type=event.TYPE, source="/test", time_ms=0, subject="subject", tenant=tenant
        )
        return Received(event, envelope, Partition("topic", 0), 0)


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@asynccontextmanager
async def _memory(_directory: Path) -> AsyncIterator[Index]:
    yield MemoryIndex()


@asynccontextmanager
async def _edge(directory: Path) -> AsyncIterator[Index]:
    points = open_points(directory, VECTOR_SIZE)
    yield QdrantIndex(points)
    await points.close()


@asynccontextmanager
async def _server(_directory: Path, url: str = "") -> AsyncIterator[Index]:
    """A collection in the client's local mode, or on the server at `url`."""
    client = AsyncQdrantClient(url=url) if url else AsyncQdrantClient(":memory:")
    name = f"test-{uuid4()}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # local mode needs no payload indexes, and says so
        await create_collection(client, name, VECTOR_SIZE)
    yield QdrantIndex(ServerPoints(client, name))
    await client.delete_collection(name)
    await client.close()


MakeIndex = Callable[[Path], AbstractAsyncContextManager[Index]]
SERVER = os.environ.get("PENSTOCK_TEST_QDRANT", "")
HAVE_SERVER = SERVER or (IN_CONTAINERS and containers.image_of("qdrant"))
INDEXES = ["memory", "edge", "server", *(["real-server"] if HAVE_SERVER else [])]


@pytest.fixture(scope="session")
def real_server() -> Iterator[str]:
    """The URL of a Qdrant: of the one that is given, or of one in a container."""
    if SERVER:
        yield SERVER
        return
    with containers.qdrant() as url:
        yield url


@pytest.fixture(scope="session")
def indexes(request: pytest.FixtureRequest) -> dict[str, MakeIndex]:
    """How to open an empty one of each implementation."""
    found: dict[str, MakeIndex] = {"memory": _memory, "edge": _edge, "server": _server}
    if "real-server" in INDEXES:
        found["real-server"] = partial(_server, url=request.getfixturevalue("real_server"))
    return found


@pytest.fixture(params=INDEXES)
async def index(
    request: pytest.FixtureRequest, indexes: dict[str, MakeIndex], tmp_path: Path
) -> AsyncIterator[Index]:
    """Every implementation of the port."""
    async with indexes[request.param](tmp_path / "index") as made:
        yield made


@pytest.fixture(params=INDEXES)
async def three_indexes(
    request: pytest.FixtureRequest, indexes: dict[str, MakeIndex], tmp_path: Path
) -> AsyncIterator[list[Index]]:
    """Three empty indexes of one implementation."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(indexes[request.param](tmp_path / f"index{n}")) for n in range(3)
        ]


@pytest.fixture
async def one_of_each(indexes: dict[str, MakeIndex], tmp_path: Path) -> AsyncIterator[dict[str, Index]]:
    """One empty index of each implementation, by its name."""
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(make_index(tmp_path / name))
            for name, make_index in indexes.items()
        }


@pytest.fixture
async def tei_server() -> AsyncIterator[TeiServer]:
    async with serving() as served:
        yield served

"""The corpus through the parser, cutter, model and index of a running stack, without the log between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.eval.corpus import Page
from penstock.clients.tei import TeiEmbedder
from penstock.ingestion.adapters.parsing.sandbox import SandboxedParser
from penstock.ingestion.adapters.tokens import TgiTokenizer
from penstock.ingestion.domain.chunking import chunk
from penstock.ingestion.domain.model import Chunking
from penstock.messages.chat import Passage
from penstock.messages.documents import searchable_text
from penstock.retrieval.adapters.edge import EdgePoints, open_points
from penstock.retrieval.adapters.qdrant import QdrantIndex
from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.passages import Entry

TENANT = "eval"
VECTOR_SIZE = 384
AT_ONCE = 4
"""Pages in hand, as a worker has them."""


@dataclass
class Indexed:
    """An index of the corpus, and what it took to make it. Times in seconds, sizes in bytes."""

    points: EdgePoints
    index: QdrantIndex
    chunks: int = 0
    tokens: int = 0
    seconds: float = 0.0
    bare_seconds: float = 0.0
    """What the embeddings alone take: the same texts, as fast as the server takes them."""


async def index_corpus(url: str, pages: Sequence[Page], chunking: Chunking, folder: Path) -> Indexed:
    """Parse, cut, embed and add all pages, then embed the same texts once more by themselves."""
    points = open_points(folder, VECTOR_SIZE)
    made = Indexed(points, QdrantIndex(points))
    embedder, tokenizer, parser = TeiEmbedder(f"{url}/tei", VECTOR_SIZE), TgiTokenizer(url), SandboxedParser()
    texts: list[list[str]] = []
    slots = asyncio.Semaphore(AT_ONCE)

    async def take(page: Page) -> None:
        async with slots:
            parsed = await parser.parse(page.path, page.path.name)
            borders = await tokenizer.borders(parsed.text)
            pieces = await asyncio.to_thread(chunk, parsed, borders, chunking.size, chunking.overlap)
            passages = [
                Passage(
                    document_id=page.name,
                    title=parsed.title,
                    start=piece.start,
                    end=piece.end,
                    text=parsed.text[piece.start : piece.end],
                    tokens=piece.tokens,
                    headings=piece.headings,
                )
                for piece in pieces
            ]
            mine = [searchable_text(p.title, p.headings, p.text) for p in passages]
            vectors = await embedder.embed(mine)
            entries = [Entry(str(n), *one) for n, one in enumerate(zip(passages, vectors, strict=True))]
            key = DocumentKey(TENANT, page.name)
            await made.index.supersede(key, Head(1, deleted=False))
            await made.index.add(key, 1, entries)
        texts.append(mine)
        made.chunks += len(pieces)
        made.tokens += sum(piece.tokens for piece in pieces)

    started = time.perf_counter()
    await asyncio.gather(*(take(page) for page in pages))
    await made.index.flush()
    made.seconds = time.perf_counter() - started

    async def embed(mine: list[str]) -> None:
        async with slots:
            await embedder.embed(mine)

    started = time.perf_counter()
    await asyncio.gather(*(embed(mine) for mine in texts))
    made.bare_seconds = time.perf_counter() - started
    await embedder.close()
    await tokenizer.close()
    return made

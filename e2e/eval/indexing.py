"""The corpus through the parser, cutter, model and index of a running stack, without the log between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
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
class Made:
    """What was made so far; `texts` are what was embedded of each page."""

    points: EdgePoints
    index: QdrantIndex
    chunks: int = 0
    tokens: int = 0
    texts: dict[str, list[str]] = field(default_factory=dict)


class Indexing:
    """Makes the index of a corpus in `folder`, with the models that answer at `url`."""

    def __init__(self, url: str, chunking: Chunking, folder: Path) -> None:
        points = open_points(folder, VECTOR_SIZE)
        self.made = Made(points, QdrantIndex(points))
        self._chunking = chunking
        self._embedder = TeiEmbedder(f"{url}/tei", VECTOR_SIZE)
        self._tokenizer = TgiTokenizer(url)
        self._parser = SandboxedParser()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def add(self, pages: Sequence[Page]) -> float:
        """Parse, cut, embed and add pages; return the seconds that took."""
        started = time.perf_counter()
        await asyncio.gather(*(self._take(page) for page in pages))
        await self.made.index.flush()
        return time.perf_counter() - started

    async def embed_again(self, pages: Sequence[Page]) -> float:
        """Embed the texts of pages that were added once more, by themselves; return the seconds that took."""

        async def embed(page: Page) -> None:
            async with self._slots:
                await self._embedder.embed(self.made.texts[page.name])

        started = time.perf_counter()
        await asyncio.gather(*(embed(page) for page in pages))
        return time.perf_counter() - started

    async def warm_up(self, page: Page) -> None:
        """Start what starts with the first page: the parser's process and the server's kernels."""
        parsed = await self._parser.parse(page.path, page.path.name)
        await self._tokenizer.borders(parsed.text)
        await self._embedder.embed([parsed.text[:1000]])

    async def close(self) -> None:
        """Close what was opened, but the index."""
        await self._embedder.close()
        await self._tokenizer.close()

    async def _take(self, page: Page) -> None:
        made = self.made
        async with self._slots:
            passages = await self._passages(page)
            texts = [searchable_text(p.title, p.headings, p.text) for p in passages]
            vectors = await self._embedder.embed(texts)
            entries = [Entry(str(n), *one) for n, one in enumerate(zip(passages, vectors, strict=True))]
            key = DocumentKey(TENANT, page.name)
            await made.index.supersede(key, Head(1, deleted=False))
            await made.index.add(key, 1, entries)
        made.texts[page.name] = texts
        made.chunks += len(passages)
        made.tokens += sum(passage.tokens for passage in passages)

    async def _passages(self, page: Page) -> list[Passage]:
        parsed = await self._parser.parse(page.path, page.path.name)
        borders = await self._tokenizer.borders(parsed.text)
        size, overlap = self._chunking.size, self._chunking.overlap
        pieces = await asyncio.to_thread(chunk, parsed, borders, size, overlap)
        return [
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

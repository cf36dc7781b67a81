"""One store of 100,000 chunks: ``python -m e2e.eval.large FOLDER`` fills and searches it, and prints JSON.

A process of its own, so that its memory is that of an index and what holds it. Vectors are random, and words
are drawn as a language has them (Zipf): what a search costs does not depend on what the text means.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from itertools import accumulate
from pathlib import Path
from random import Random
from statistics import median, quantiles

import psutil

from e2e.bench.tables import Table
from e2e.eval.indexing import TENANT, VECTOR_SIZE
from penstock.messages.chat import Passage
from penstock.retrieval.adapters.edge import open_points
from penstock.retrieval.adapters.qdrant import QdrantIndex
from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.passages import Entry, Vector
from penstock.retrieval.domain.rerank import rerank
from penstock.retrieval.domain.scope import Scope

CHUNKS = 100_000
A_DOCUMENT = 100
WORDS_A_CHUNK = 150
QUERIES = 1_000
WHILE_ADDING = 200
CANDIDATES = 50
SEED = 20261124
_VOCABULARY = 30_000


def measure(folder: Path) -> Table:
    """Return what a process by itself measures, as a table."""
    ended = subprocess.run(  # noqa: S603  # ours
        [sys.executable, "-m", "e2e.eval.large", str(folder)], capture_output=True, text=True, check=True
    )
    rows = [[what, value] for what, value in json.loads(ended.stdout).items()]
    return Table(
        f"One store of {CHUNKS:,} chunks",
        ("embedded index", "measured"),
        rows,
        "50 candidates of each search; random vectors, words as frequent as Zipf has them.",
    )


class Source:
    """Draws vectors, texts and questions."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._words = [f"w{number:x}" for number in range(_VOCABULARY)]
        self._weights = list(accumulate(1 / rank for rank in range(1, _VOCABULARY + 1)))

    def vector(self) -> Vector:
        """Return a direction drawn evenly."""
        numbers = [self._random.gauss(0, 1) for _ in range(VECTOR_SIZE)]
        length = sum(number * number for number in numbers) ** 0.5
        return [number / length for number in numbers]

    def text(self, words: int) -> str:
        """Return so many words."""
        return " ".join(self._random.choices(self._words, cum_weights=self._weights, k=words))

    def entries(self, name: str) -> list[Entry]:
        """Return the chunks of one document."""
        return [
            Entry(
                str(number),
                Passage(
                    document_id=name,
                    title=name,
                    start=number * 1000,
                    end=number * 1000 + 999,
                    text=self.text(WORDS_A_CHUNK),
                    tokens=200,
                ),
                self.vector(),
            )
            for number in range(A_DOCUMENT)
        ]


async def _measured(folder: Path) -> dict[str, str]:
    source = Source(Random(SEED))  # noqa: S311  # drawn again, not secret
    index = QdrantIndex(open_points(folder, VECTOR_SIZE))

    async def add(number: int) -> None:
        entries = source.entries(f"document-{number}")
        key = DocumentKey(TENANT, f"document-{number}")
        started = time.perf_counter()
        await index.supersede(key, Head(1, deleted=False))
        await index.add(key, 1, entries)
        adding.append(time.perf_counter() - started)

    async def ask() -> None:
        text, vector = source.text(8), source.vector()
        started = time.perf_counter()
        found = await index.search(Scope(TENANT), text, vector, CANDIDATES)
        searching.append(time.perf_counter() - started)
        rerank(text, found)
        ranking.append(time.perf_counter() - started - searching[-1])

    adding: list[float] = []
    searching: list[float] = []
    ranking: list[float] = []
    for number in range(CHUNKS // A_DOCUMENT):
        await add(number)
    await index.flush()
    filled = sum(adding)
    gc.collect()
    for _ in range(QUERIES):
        await ask()
    alone = searching.copy()
    searching.clear()
    for number in range(WHILE_ADDING):
        busy = asyncio.create_task(add(CHUNKS // A_DOCUMENT + number % 20))
        await asyncio.sleep(0)
        await ask()
        await busy
    return {
        "filled, s": f"{filled:.0f}",
        "hybrid query, median ms": _ms(median(alone)),
        "hybrid query, p99 ms": _ms(quantiles(alone, n=100)[98]),
        "the same while a document is added, median ms": _ms(median(searching)),
        "the same while a document is added, p99 ms": _ms(quantiles(searching, n=100)[98]),
        "re-ranking after it, median ms": _ms(median(ranking)),
        "memory of the process, MB": f"{psutil.Process(os.getpid()).memory_info().rss / 1e6:.0f}",
    }


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_measured(Path(sys.argv[1])))))

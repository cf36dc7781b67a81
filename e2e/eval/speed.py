"""How fast a corpus is indexed, beside how fast the model alone embeds the same texts.

The two take turns, block by block, so that whatever else the machine does slows both alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from e2e.bench.tables import Table
from e2e.eval.corpus import Page
from e2e.eval.indexing import Indexing
from penstock.ingestion.domain.model import Chunking

BLOCK = 20
"""Pages a turn: many against those that a worker has in hand at its end."""
HEADINGS = (
    "chunk size",
    "chunks",
    "tokens a chunk",
    "pages/s",
    "MB/s",
    "chunks/s",
    "embedding alone, chunks/s",
    "share of that",
)
NOTE = (
    "Pages/s and MB/s (of HTML): parsed, cut, embedded and added, four pages in hand. The two take turns"
    f" every {BLOCK} pages."
)


async def measure(url: str, pages: Sequence[Page], sizes: Sequence[Chunking], folder: Path) -> Table:
    """Index the pages for each size of chunk; return a table."""
    rows = [await _row(url, pages, chunking, folder / f"speed-{chunking.size}") for chunking in sizes]
    return Table("Indexing", HEADINGS, rows, NOTE)


async def _row(url: str, pages: Sequence[Page], chunking: Chunking, folder: Path) -> list[str]:
    indexing = Indexing(url, chunking, folder)
    await indexing.warm_up(pages[0])
    seconds = bare = 0.0
    for first in range(0, len(pages), BLOCK):
        block = pages[first : first + BLOCK]
        seconds += await indexing.add(block)
        bare += await indexing.embed_again(block)
    await indexing.close()
    made = indexing.made
    megabytes = sum(page.path.stat().st_size for page in pages) / 1e6
    return [
        str(chunking.size),
        f"{made.chunks:,}",
        f"{made.tokens / made.chunks:.0f}",
        f"{len(pages) / seconds:.1f}",
        f"{megabytes / seconds:.2f}",
        f"{made.chunks / seconds:.0f}",
        f"{made.chunks / bare:.0f}",
        f"{100 * bare / seconds:.0f} %",
    ]

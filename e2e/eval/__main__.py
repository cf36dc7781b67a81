"""``python -m e2e.eval [--pages N] [--questions N]``: how well documents are found; writes docs/retrieval.md.

`make eval` runs it. It starts the inference service alone, indexes the corpus for each size of chunk, asks
questions whose page is known, and compares ways of searching. Exit code 1 if hybrid search is worse than the
better of its two parts at the default size.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median

import httpx2
from rich.console import Console

from e2e.bench.machine import describe
from e2e.bench.tables import Table, rewrite_between
from e2e.eval.corpus import CorpusMissing, Page, fetch, pages
from e2e.eval.indexing import VECTOR_SIZE, Indexed, index_corpus
from e2e.eval.metrics import Scores, scores
from e2e.eval.questions import KINDS, Question, questions
from e2e.eval.searching import WAYS, ranks, ways
from penstock.clients.tei import TeiEmbedder
from penstock.devstack.death import die_with_parent
from penstock.devstack.network import free_ports
from penstock.devstack.root import find_root
from penstock.devstack.screen import make_console
from penstock.ingestion.domain.model import AUTO, Chunking

SIZES = (Chunking(100, 20), AUTO, Chunking(350, 60))
BEGIN = "<!-- eval:begin: written by make eval -->"
END = "<!-- eval:end -->"
SEED = 20261124
_READY_S = 120
Row = tuple[Chunking, str, str, Scores, float]


def main() -> None:
    """Run, show the tables, and write them."""
    parser = argparse.ArgumentParser(prog="python -m e2e.eval", description="Known-item retrieval.")
    parser.add_argument("--pages", type=int, help="a sample of so many pages; default: all")
    parser.add_argument("--questions", type=int, default=200, help="at most so many of each kind")
    given = parser.parse_args()
    console = make_console()
    random = Random(SEED)  # noqa: S311  # drawn again, not secret
    try:
        root = fetch(find_root() / ".cache" / "eval")
    except CorpusMissing as error:
        console.print(f"eval: {error}", markup=False)
        sys.exit(1)
    corpus = pages(root)
    if given.pages and given.pages < len(corpus):
        corpus = sorted(random.sample(corpus, given.pages), key=lambda page: page.name)
    asked = questions(root, corpus, given.questions, random)
    console.print(f"==> {len(corpus)} pages, {len(asked)} questions")
    with running_inference() as url, tempfile.TemporaryDirectory() as folder:
        rows, speeds = asyncio.run(_all(console, url, corpus, asked, Path(folder)))
    shown = [_quality(rows), _kinds(rows), speeds]
    for table in shown:
        console.print()
        console.print(table.rich())
    command = "make eval" + (f" PAGES={given.pages}" if given.pages else "")
    intro = [
        f"Run on: {describe()}.",
        f"To repeat: `{command}`.",
        f"{len(corpus)} pages of Python's documentation, {len(asked)} questions.",
    ]
    body = "\n\n".join([*intro, *(table.markdown() for table in shown)])
    rewrite_between(find_root() / "docs" / "retrieval.md", BEGIN, END, body)
    sys.exit(0 if _hybrid_holds(rows) else 1)


@contextmanager
def running_inference() -> Iterator[str]:
    """The inference service by itself, until the block ends: its URL."""
    [port] = free_ports(1)
    program = str(Path(sys.executable).with_name("penstock-inference"))
    cache = os.environ.get("PENSTOCK_MODEL_CACHE", str(find_root() / ".penstock" / "models"))
    process = subprocess.Popen(  # noqa: S603  # ours
        [program],
        env={**os.environ, "PENSTOCK_INFERENCE_PORT": str(port), "PENSTOCK_MODEL_CACHE": cache},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent(os.getpid()),
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _until_ready(process, url)
        yield url
    finally:
        process.terminate()
        process.wait()


def _until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        try:
            if all(httpx2.get(f"{url}{p}", trust_env=False).is_success for p in ("/health", "/tei/health")):
                return
        except httpx2.TransportError:
            if process.poll() is not None:
                break
        time.sleep(0.2)
    sys.exit("eval: the inference service did not become ready")


async def _all(
    console: Console, url: str, corpus: Sequence[Page], asked: Sequence[Question], folder: Path
) -> tuple[list[Row], Table]:
    embedder = TeiEmbedder(f"{url}/tei", VECTOR_SIZE)
    vectors = await embedder.embed([question.text for question in asked])
    await embedder.close()
    rows: list[Row] = []
    speeds: list[list[str]] = []
    megabytes = sum(page.path.stat().st_size for page in corpus) / 1e6
    for chunking in SIZES:
        console.print(f"    chunks of {chunking.size} tokens: indexing", markup=False)
        made = await index_corpus(url, corpus, chunking, folder / str(chunking.size))
        speeds.append(_speed(chunking, made, len(corpus), megabytes))
        for way, search in ways(made).items():
            places, seconds = await ranks(search, asked, vectors)
            for kind in (*KINDS, "all"):
                chosen = [p for p, q in zip(places, asked, strict=True) if kind in (q.kind, "all")]
                rows.append((chunking, way, kind, scores(chosen), median(seconds)))
        await made.points.close()
    headings = (
        "chunk size",
        "chunks",
        "tokens a chunk",
        "pages/s",
        "MB/s",
        "chunks/s",
        "embedding alone, chunks/s",
        "share of that",
    )
    note = "Pages/s and MB/s (of HTML): parsed, cut, embedded and added, four pages in hand."
    return rows, Table("Indexing", headings, speeds, note)


def _speed(chunking: Chunking, made: Indexed, count: int, megabytes: float) -> list[str]:
    rate, bare = made.chunks / made.seconds, made.chunks / made.bare_seconds
    return [
        str(chunking.size),
        f"{made.chunks:,}",
        f"{made.tokens / made.chunks:.0f}",
        f"{count / made.seconds:.1f}",
        f"{megabytes / made.seconds:.2f}",
        f"{rate:.0f}",
        f"{bare:.0f}",
        f"{100 * rate / bare:.0f} %",
    ]


def _quality(rows: Sequence[Row]) -> Table:
    shown = [
        [
            f"{chunking.size} / {chunking.overlap}",
            way,
            *(f"{value:.3f}" for value in _values(found)),
            f"{1000 * seconds:.1f}",
        ]
        for chunking, way, kind, found, seconds in rows
        if kind == "all"
    ]
    headings = (
        "chunk / overlap",
        "search",
        "recall@1",
        "recall@5",
        "recall@10",
        "MRR",
        "nDCG@10",
        "median ms",
    )
    return Table("All questions", headings, shown, "The page counts once, at its best passage.")


def _kinds(rows: Sequence[Row]) -> Table:
    shown = [[way, *(f"{_only(rows, way, kind).ndcg_at_10:.3f}" for kind in KINDS)] for way in WAYS]
    return Table(f"nDCG@10 by kind of question, chunks of {AUTO.size}", ("search", *KINDS), shown)


def _only(rows: Sequence[Row], way: str, kind: str) -> Scores:
    return next(row[3] for row in rows if row[:3] == (AUTO, way, kind))


def _values(found: Scores) -> tuple[float, ...]:
    return (found.recall_at_1, found.recall_at_5, found.recall_at_10, found.mrr, found.ndcg_at_10)


def _hybrid_holds(rows: Sequence[Row]) -> bool:
    hybrid, *parts = (_only(rows, way, "all").ndcg_at_10 for way in ("hybrid", "BM25", "dense"))
    return hybrid >= max(parts)


if __name__ == "__main__":
    main()

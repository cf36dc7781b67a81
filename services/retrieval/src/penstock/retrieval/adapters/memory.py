"""An index in memory, for tests (port: Index): the same promises but durability, in plain Python."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock.messages.documents import searchable_text
from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.filters import passes
from penstock.retrieval.domain.fusion import fuse
from penstock.retrieval.domain.passages import Entry, Found, Vector
from penstock.retrieval.domain.scope import Scope


@dataclass(frozen=True, slots=True)
class _Kept:
    key: DocumentKey
    version: int
    entry: Entry
    words: Counter[str]


class MemoryIndex:
    """Keeps everything in dictionaries; `flushes` counts the calls of `flush`."""

    def __init__(self) -> None:
        self._heads: dict[DocumentKey, Head] = {}
        self._kept: dict[tuple[DocumentKey, int, str], _Kept] = {}
        self.flushes = 0

    async def head(self, key: DocumentKey) -> Head | None:
        return self._heads.get(key)

    async def supersede(self, key: DocumentKey, head: Head) -> None:
        self._heads[key] = head
        below = head.version + head.deleted
        self._kept = {i: k for i, k in self._kept.items() if k.key != key or k.version >= below}

    async def has(self, key: DocumentKey, version: int, chunk_ids: Sequence[str]) -> bool:
        return all((key, version, chunk_id) in self._kept for chunk_id in chunk_ids)

    async def add(self, key: DocumentKey, version: int, entries: Sequence[Entry]) -> None:
        for entry in entries:
            passage = entry.passage
            words = _words(searchable_text(passage.title, passage.headings, passage.text))
            self._kept[key, version, entry.chunk_id] = _Kept(key, version, entry, Counter(words))

    async def flush(self) -> None:
        self.flushes += 1

    async def size(self) -> int:
        return len(self._kept)

    async def is_empty(self, scope: Scope) -> bool:
        return not self._within(scope)

    async def count(self, scope: Scope) -> int:
        return len(self._within(scope))

    async def search(self, scope: Scope, text: str, vector: Vector | None, limit: int) -> list[Found]:
        corpus = self._within(scope.unfiltered)
        mine = {n for n, kept in enumerate(corpus) if _passes(kept, scope)}
        cosines = {} if vector is None else {n: _cosine(corpus[n].entry.vector, vector) for n in mine}
        words = {n: s for n, s in enumerate(_bm25(corpus, set(_words(text)))) if s > 0 and n in mine}
        fused = fuse([_ranking(cosines), _ranking(words)])
        return [
            Found(
                passage=corpus[n].entry.passage,
                score=fused[n],
                similarity=cosines.get(n, 0.0),
                by_words=n in words,
                store_id=corpus[n].entry.store_id,
                attributes=corpus[n].entry.attributes,
            )
            for n in _ranking(fused)[:limit]
        ]

    def _within(self, scope: Scope) -> list[_Kept]:
        return [
            kept
            for kept in self._kept.values()
            if kept.key.tenant == scope.tenant
            and (not scope.stores or kept.entry.store_id in scope.stores)
            and _passes(kept, scope)
        ]


def _passes(kept: _Kept, scope: Scope) -> bool:
    return scope.filters is None or passes(kept.entry.attributes, scope.filters)


def _ranking(scores: dict[int, float]) -> list[int]:
    return sorted(scores, key=lambda n: -scores[n])


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _bm25(corpus: Sequence[_Kept], query: Iterable[str], k: float = 1.2) -> list[float]:
    """Return each chunk's BM25 score, without the part that weighs its length."""
    scores = [0.0] * len(corpus)
    for word in query:
        holding = sum(1 for kept in corpus if word in kept.words)
        rarity = math.log(1 + (len(corpus) - holding + 0.5) / (holding + 0.5))
        for n, kept in enumerate(corpus):
            count = kept.words[word]
            scores[n] += rarity * count * (k + 1) / (count + k)
    return scores


def _cosine(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b) or 1)

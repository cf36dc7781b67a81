"""An index in memory, for tests (port: Index): the same promises but durability, in plain Python."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.fusion import fuse
from penstock.retrieval.domain.passages import Entry, Found, Vector, searchable_text


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
            words = _words(searchable_text(entry.passage.title, entry.passage.text))
            self._kept[key, version, entry.chunk_id] = _Kept(key, version, entry, Counter(words))

    async def flush(self) -> None:
        self.flushes += 1

    async def is_empty(self, tenant: str) -> bool:
        return not self._of(tenant)

    async def count(self, tenant: str) -> int:
        return len(self._of(tenant))

    async def search(self, tenant: str, text: str, vector: Vector, limit: int) -> list[Found]:
        mine = self._of(tenant)
        by_meaning = _ranking({n: _cosine(kept.entry.vector, vector) for n, kept in enumerate(mine)})
        by_words = _ranking({n: s for n, s in enumerate(_bm25(mine, set(_words(text)))) if s > 0})
        fused = fuse([by_meaning, by_words])
        return [Found(mine[n].entry.passage, fused[n]) for n in _ranking(fused)[:limit]]

    def _of(self, tenant: str) -> list[_Kept]:
        return [kept for kept in self._kept.values() if kept.key.tenant == tenant]


def _ranking(scores: dict[int, float]) -> list[int]:
    return sorted(scores, key=lambda n: -scores[n])


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _bm25(mine: Sequence[_Kept], query: Iterable[str], k: float = 1.2) -> list[float]:
    """Return each document's BM25 score, without the part that weighs its length."""
    scores = [0.0] * len(mine)
    for word in query:
        holding = sum(1 for kept in mine if word in kept.words)
        rarity = math.log(1 + (len(mine) - holding + 0.5) / (holding + 0.5))
        for n, kept in enumerate(mine):
            count = kept.words[word]
            scores[n] += rarity * count * (k + 1) / (count + k)
    return scores


def _cosine(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b) or 1)

"""What the two Qdrants, in this process and on a server, do alike: points written, searched and removed.

Filters are plain JSON in Qdrant's own dialect (`{"must": [...]}`), which each translates to its library's
classes; so a filter is written, and thought over, once.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from penstock.retrieval.domain.passages import Vector

DENSE = "dense"
SPARSE = "bm25"

Json: TypeAlias = Mapping[str, Any]


class Words(NamedTuple):
    """A sparse vector: terms by their number, with their weights."""

    indices: Sequence[int]
    values: Sequence[float]


class Point(NamedTuple):
    """What is kept under an id, a UUID as text; without vectors no search finds it."""

    id: str
    payload: Json
    vector: Vector | None = None
    words: Words | None = None


class Nearest(NamedTuple):
    """One search: the points within `filter` nearest to a vector, or with the words of a query.

    `corpus` is the filter for the points whose number and words make a word rare or common.
    """

    query: Vector | Words
    filter: Json
    limit: int
    corpus: Json | None = None


class Hit(NamedTuple):
    """A point found; `score` is the cosine, or the sum of the words' weights."""

    id: str
    score: float


class Points(Protocol):
    """Points of one index. All methods raise TransientError when it fails."""

    async def search(self, searches: Sequence[Nearest]) -> list[list[Hit]]:
        """Return the hits of each search, best first."""

    async def upsert(self, points: Sequence[Point]) -> None:
        """Write points, replacing those with the same ids."""

    async def remove(self, within: Json) -> None:
        """Remove all points within a filter."""

    async def retrieve(self, ids: Sequence[str], *, with_payload: bool) -> dict[str, Json]:
        """Return the payloads (or empty ones) of those points that there are, by their ids."""

    async def any(self, within: Json) -> bool:
        """Return whether there is a point within a filter; as fast for many as for one."""

    async def size(self) -> int:
        """Return how many points that belong to a tenant there are, as well as is known without counting."""

    async def count(self, within: Json) -> int:
        """Return how many points are within a filter."""

    async def flush(self) -> None:
        """Make everything written so far durable."""


TENANT = "tenant"
STORE = "tenant_store"
"""Tenant and store in one word: half the time of a search, since one condition needs no second look at
each of its points, and two do (100,000 chunks: 6 ms, not 11)."""
FACTS = "facts"
"""The attributes, each with its value in one word, for what must be equal."""
NUMBERS = "numbers"
"""Those that are numbers, as {key, number}, for ranges. Whatever keys users choose, the same few indexes
serve them all (a range over a field without one takes 320 ms at 100,000 chunks)."""
KEYWORD_FIELDS = (STORE, "document_id", FACTS)
INTEGER_FIELDS = ("version",)


def store_key(tenant: str, store_id: str) -> str:
    """Return what a tenant's store is called in `STORE`: no two stores of any tenants are called the same."""
    return json.dumps([tenant, store_id])


def one_of(key: str, words: Sequence[str]) -> Json:
    """Return the condition that a field holds one of these words; of none, nothing passes.

    One word is asked for as such: a list of one takes the engine twice the time.
    """
    if not words:
        return {"must_not": [{}]}
    return {"key": key, "match": {"value": words[0]} if len(words) == 1 else {"any": list(words)}}

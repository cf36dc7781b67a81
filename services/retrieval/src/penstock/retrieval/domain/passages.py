"""Passages as the index keeps and finds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from penstock.messages.chat import Passage
from penstock.messages.search import DEFAULT_STORE, Scalar

Vector = Sequence[float]
"""An embedding, normalised to length 1."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk as the index keeps it; `attributes` are those of its file in the store."""

    chunk_id: str
    passage: Passage
    vector: Vector
    store_id: str = DEFAULT_STORE
    attributes: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that answers a query; a higher `score` answers it better, among those of one search.

    `similarity` is the cosine of passage and query, which can be compared between searches, -1 to 1;
    `by_words` says that the passage is one of those with the rarest words of the query.
    """

    passage: Passage
    score: float
    similarity: float = 0.0
    by_words: bool = False
    store_id: str = DEFAULT_STORE
    attributes: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def location(self) -> tuple[str, str, int, int]:
        """Store, document and characters: what tells it from all others of a tenant."""
        return (self.store_id, self.passage.document_id, self.passage.start, self.passage.end)


def best_first(found: Found) -> tuple[float, float, tuple[str, str, int, int]]:
    """Return the key that sorts best first, in the same order whichever order they come in."""
    return (-found.score, -found.similarity, found.location)

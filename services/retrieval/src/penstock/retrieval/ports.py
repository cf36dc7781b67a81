"""What retrieval needs of the world."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.passages import Entry, Found, Vector
from penstock.retrieval.domain.scope import Scope


class Embedder(Protocol):
    """Turns texts into vectors of one length, so that texts of like meaning lie close by cosine."""

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector a text, in order. Raises TransientError or PermanentError."""


class SearchIndex(Protocol):
    """The chunks of documents as a question sees them. Methods raise TransientError when the store fails."""

    async def size(self) -> int:
        """Return how many chunks of all tenants there are, about, at next to no cost."""

    async def is_empty(self, scope: Scope) -> bool:
        """Return whether no chunks are within the scope."""

    async def search(self, scope: Scope, text: str, vector: Vector | None, limit: int) -> list[Found]:
        """Return at most `limit` passages within the scope, best first.

        Hybrid: by meaning (`vector`, cosine) and by words (`text`, BM25), fused by reciprocal rank; without a
        vector by words alone. The statistics of BM25 are those of the scope's stores, whatever other tenants
        keep.
        """


class Index(SearchIndex, Protocol):
    """Keeps the chunks of documents and searches them; one tenant never sees another's.

    What is written is found at once, and outlives a crash from `flush` on. A crash before it keeps a
    prefix of what was written. All methods raise TransientError when the store fails.
    """

    async def head(self, key: DocumentKey) -> Head | None:
        """Return what is known of a document, or None."""

    async def supersede(self, key: DocumentKey, head: Head) -> None:
        """Make `head` the document's head, and remove the chunks that it replaces or deletes.

        Does nothing if that is the head already.
        """

    async def has(self, key: DocumentKey, version: int, chunk_ids: Sequence[str]) -> bool:
        """Return whether all these chunks of a version are in the index."""

    async def add(self, key: DocumentKey, version: int, entries: Sequence[Entry]) -> None:
        """Add chunks of the document's head version, replacing those with the same ids."""

    async def flush(self) -> None:
        """Make everything written so far durable."""

    async def count(self, scope: Scope) -> int:
        """Return how many chunks are within the scope."""


class IndexUnusable(Exception):
    """An index cannot be opened (now); the message says why."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open index. Its `id` tells it from any that was there before it, or is made beside it.

    Committed offsets say what is in an index only as long as it is the same one: a new index has a new id,
    and with it a consumer group that begins at the beginning.
    """

    id: str
    index: Index


class Home(Protocol):
    """Where indexes are kept: the current one, and at times a new one beside it."""

    async def open(self) -> Opened:
        """Open the current index, or make the first. Raises IndexUnusable or TransientError."""

    async def begin(self) -> Opened:
        """Make an empty index beside the current one."""

    async def adopt(self, opened: Opened) -> None:
        """Make this index the current one, at once and for good."""

    async def discard(self, opened: Opened) -> None:
        """Close an index that is not the current one, and remove it."""

    async def close(self) -> None:
        """Close what is open; the current index stays."""

"""What retrieval needs of the world."""

from collections.abc import Sequence
from typing import Protocol

from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.passages import Entry, Found, Vector


class Embedder(Protocol):
    """Turns texts into vectors of one length, so that texts of like meaning lie close by cosine."""

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector a text, in order. Raises TransientError or PermanentError."""


class Index(Protocol):
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

    async def is_empty(self, tenant: str) -> bool:
        """Return whether a tenant has no chunks."""

    async def count(self, tenant: str) -> int:
        """Return how many chunks a tenant has."""

    async def search(self, tenant: str, text: str, vector: Vector, limit: int) -> list[Found]:
        """Return at most `limit` of a tenant's passages, best first.

        Hybrid: by meaning (`vector`, cosine) and by words (`text`, BM25), fused by reciprocal rank.
        """

"""What ingestion needs of the world."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from penstock.ingestion.domain.model import (
    Attributes,
    Batch,
    Chunking,
    Code,
    Document,
    File,
    Job,
    Status,
    Store,
)
from penstock.ingestion.domain.parsed import Parsed
from penstock.messages.documents import DocumentChunked, DocumentState
from penstock.messages.event import Event
from penstock.messages.search import Search


class RecordsAway(Exception):
    """The database does not answer; the message has no values in it."""


class BlobMissing(Exception):
    """There is no blob of that name."""


class StorageAway(Exception):
    """The blob store does not do what it should; the message says why, for operators."""


class StorageFull(StorageAway):
    """There is no room for another blob."""


class Page(NamedTuple):
    """Which part of a list, by OpenAI's parameters: `after` and `before` are ids."""

    limit: int = 20
    descending: bool = True
    after: str = ""
    before: str = ""


class Files(Protocol):
    """Uploaded files. All methods of all records raise RecordsAway; those that name one thing, NotFound."""

    async def begin(self, file: File) -> None:
        """Note a file whose bytes are not kept yet: nobody sees it, and its blob is not removed."""

    async def finish(self, file: File) -> None:
        """Let everybody of the tenant see it."""

    async def get(self, tenant: str, file_id: str) -> File: ...

    async def page(self, tenant: str, page: Page, purpose: str = "", name: str = "") -> list[File]:
        """Return one more than the limit, if there are more."""

    async def delete(self, tenant: str, file_id: str) -> File:
        """Forget a file and its documents in all stores."""

    async def forget_abandoned(self, before: int) -> int:
        """Forget files whose upload began before then (Unix seconds) and has not ended; return how many."""


class Stores(Protocol):
    """Vector stores with their counts. The default store is there as soon as it is named."""

    async def create(self, store: Store) -> None: ...

    async def get(self, tenant: str, store_id: str) -> Store: ...

    async def page(self, tenant: str, page: Page) -> list[Store]: ...

    async def change(self, tenant: str, store_id: str, changes: Mapping[str, object]) -> Store:
        """Set `name`, `expires_after_days`, `metadata` or `answers`."""

    async def touch(self, tenant: str, store_id: str) -> None:
        """It is being used now."""

    async def delete(self, tenant: str, store_id: str) -> None:
        """Forget a store and its documents."""

    async def expired(self) -> list[Store]:
        """Return stores of all tenants that nobody has used for longer than they wished."""


class Attachment(NamedTuple):
    """A file to be put into a store. No chunking: automatic."""

    file_id: str
    attributes: Attributes
    chunking: Chunking | None


class Documents(Protocol):
    """Files in stores, and batches of them. Each change of state is an event, in the same transaction."""

    async def attach(
        self, tenant: str, store_id: str, attachments: Sequence[Attachment], batch_id: str = ""
    ) -> list[Document]:
        """Put files into a store and queue the work; one that is there already, the same way, stays."""

    async def get(self, tenant: str, store_id: str, file_id: str) -> Document: ...

    async def page(
        self, tenant: str, store_id: str, page: Page, status: Status | None = None, batch_id: str = ""
    ) -> list[Document]: ...

    async def change(self, tenant: str, store_id: str, file_id: str, attributes: Attributes) -> Document:
        """Replace the attributes, and queue the work that makes them searchable."""

    async def detach(self, tenant: str, store_id: str, file_id: str) -> None:
        """Take a file out of a store."""

    async def batch(self, tenant: str, store_id: str, batch_id: str) -> Batch: ...

    async def cancel(self, tenant: str, store_id: str, batch_id: str) -> Batch:
        """Give up what is not done of a batch."""

    async def siblings(self, document: Document) -> list[str]:
        """Return the contents of the tenant's documents with the same file name, the newest first."""


class Census(NamedTuple):
    """Documents that are not done, by state, and when the oldest was queued (Unix ms; None: none is)."""

    states: Mapping[str, int]
    oldest_ms: int | None


class Jobs(Protocol):
    """The work that is open. A job belongs to whoever has its lease; all but `claim` raise LeaseLost."""

    async def claim(self, owner: str) -> Job | None:
        """Take the oldest job that is free, or whose owner has not been heard of; None if there is none."""

    async def beat(self, job: Job) -> None:
        """Say that the owner is alive: keeps the lease."""

    async def state(self, job: Job, state: DocumentState) -> None:
        """Say what is being done now."""

    async def publishing(self, job: Job, parts: int) -> None:
        """So many parts are about to be written to the log."""

    async def published(self, job: Job, content: str, chunks: int, pages: int, parts: int) -> None:
        """All parts are in the log: the index is waited for."""

    async def put_back(self, job: Job, seconds: float, *, fault: bool) -> None:
        """Let it be tried again later; `fault` counts against the document."""

    async def fail(self, job: Job, code: Code, message: str) -> None:
        """Give the document up."""

    async def indexed(self, parts: Collection[tuple[str, int, int]]) -> None:
        """Parts (document, version, part) are searchable; a document is complete with its last one."""

    async def waiting(self) -> bool:
        """Return whether a job could be claimed now."""

    async def census(self) -> Census:
        """Return how many jobs there are in which state, and since when the oldest."""


class Garbage(Protocol):
    """Blobs that may be needed no more."""

    def next(self) -> AbstractAsyncContextManager[str | None]:
        """Give the name of a blob to remove within the block, "" if it is needed, None at the end."""


class OutboxEvent(NamedTuple):
    """An event to be written to the log, in the order of its number; in which trace it was decided on."""

    number: int
    tenant: str
    subject: str
    event: Event
    traceparent: str = ""


class Outbox(Protocol):
    """Events that were decided on together with a change of the records."""

    async def next(self, limit: int) -> list[OutboxEvent]:
        """Return the oldest, in order."""

    async def done(self, numbers: Sequence[int]) -> None:
        """They are in the log."""


class Leftover(NamedTuple):
    """A part in the log that no longer counts; `due_ms` and `again` tell this time from the other."""

    tenant: str
    document_id: str
    version: int
    part: int
    due_ms: int
    again: bool


class Leftovers(Protocol):
    """What stands in the log of documents and no longer counts: each part is taken back twice."""

    async def forgotten(self, versions: Collection[tuple[str, int]]) -> None:
        """The index has forgotten documents up to and including a version."""

    async def late(self, parts: Collection[tuple[str, str, int, int]]) -> None:
        """Parts (tenant, document, version, part) were written when they did not count any more."""

    async def next(self, limit: int) -> list[Leftover]:
        """Return the oldest to be taken back now."""

    async def taken_back(self, leftovers: Sequence[Leftover]) -> None:
        """The log has been told."""


class Blobs(Protocol):
    """Bytes by name. All methods raise StorageAway; those that read, BlobMissing."""

    async def put(self, name: str, source: Path | bytes) -> None:
        """Keep bytes, whole or not at all. Raises StorageFull."""

    async def get(self, name: str) -> bytes: ...

    def stream(self, name: str) -> AsyncIterator[bytes]: ...

    def local(self, name: str) -> AbstractAsyncContextManager[Path]:
        """Give the bytes as a file for a while."""

    async def delete(self, name: str) -> None:
        """Remove; nothing happens if it is gone."""


class Parser(Protocol):
    """Reads a file of any kind."""

    async def parse(self, path: Path, file_name: str) -> Parsed:
        """Return what stands in it. Raises ParseFailed."""


class Tokenizer(Protocol):
    """Knows where the model's tokens begin and end."""

    async def borders(self, text: str) -> list[tuple[int, int]]:
        """Return (start, stop) characters of every token. Raises TransientError or PermanentError."""


class Embedder(Protocol):
    """Turns texts into vectors."""

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return one vector a text, in order. Raises TransientError or PermanentError."""


class Publisher(Protocol):
    """Writes to the log; returns when the broker has acknowledged. Raises BrokerError."""

    async def publish(self, tenant: str, parts: Sequence[DocumentChunked]) -> None:
        """Write a document's parts."""

    async def send(self, written: Sequence[OutboxEvent]) -> None:
        """Write events in order."""

    async def take_back(self, leftovers: Sequence[Leftover]) -> None:
        """Have the log forget parts."""


class Found(NamedTuple):
    """A passage that answers a search; a score of 1 is best."""

    file_id: str
    file_name: str
    score: float
    attributes: Attributes
    text: str
    start: int
    end: int
    headings: tuple[str, ...]
    page: int | None


class Searcher(Protocol):
    """Asks the index."""

    async def search(self, tenant: str, queries: Sequence[str], search: Search, limit: int) -> list[Found]:
        """Return the best passages. Raises TransientError or PermanentError."""


class Bell(Protocol):
    """Wakes the workers. A call that is lost costs a delay, nothing else."""

    async def ring(self) -> None:
        """Say that there is work."""

"""Files, vector stores, and documents: a document is one file in one store.

Times are Unix seconds, as in OpenAI's API; versions and leases are Unix milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import Literal

from penstock.ingestion.domain.chunking import CHUNK_TOKENS, OVERLAP_TOKENS
from penstock.messages.chat import AnswersFrom
from penstock.messages.documents import DocumentState

Scalar = str | int | float | bool
Attributes = Mapping[str, Scalar]
Status = Literal["in_progress", "completed", "cancelled", "failed"]
"""OpenAI's word for the state of a file in a store."""
Code = Literal["server_error", "unsupported_file", "invalid_file"]
CANCELLED = "cancelled"
"""The error code of a document whose batch was cancelled before it was done."""
MAX_FAILURES = 3
"""So many times may a document end its worker, or meet an error of ours, before it is given up."""


@dataclass(frozen=True, slots=True)
class Chunking:
    """How to cut: at most `size` tokens a chunk, beginning at most `overlap` before its forerunner's end."""

    size: int
    overlap: int


AUTO = Chunking(CHUNK_TOKENS, OVERLAP_TOKENS)
"""What "auto" means: see docs/retrieval.md."""


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file; `digest` is the hex SHA-256 of its bytes."""

    id: str
    tenant: str
    name: str
    purpose: str
    size: int
    digest: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many documents of a store or batch are how far."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.in_progress + self.completed + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class Store:
    """A vector store: what a question can be asked of. Its id is unique within its tenant.

    `answers` is what answers to its questions rest on where a request does not say; None: no rule of its own.
    """

    tenant: str
    id: str
    name: str
    created_at: int
    last_active_at: int
    expires_after_days: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    counts: Counts = Counts()
    usage_bytes: int = 0
    answers: AnswersFrom | None = None

    @property
    def expires_at(self) -> int | None:
        """When it expires if nobody uses it before."""
        days = self.expires_after_days
        return None if days is None else self.last_active_at + days * 86_400


@dataclass(frozen=True, slots=True)
class Document:
    """A file in a store. `code` and `message` say why it failed; `content` names its chunks' blob."""

    id: str
    tenant: str
    store_id: str
    file_id: str
    file_name: str
    digest: str
    size: int
    version: int
    created_at: int
    state: DocumentState
    attributes: Attributes = field(default_factory=dict)
    chunking: Chunking | None = None
    batch_id: str = ""
    attempt: int = 0
    chunks: int = 0
    pages: int = 0
    code: str = ""
    message: str = ""
    content: str = ""

    @property
    def status(self) -> Status:
        """Its state in OpenAI's words."""
        if self.state == "completed":
            return "completed"
        if self.state == "failed":
            return "cancelled" if self.code == CANCELLED else "failed"
        return "in_progress"


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that were put into a store together."""

    id: str
    tenant: str
    store_id: str
    created_at: int
    cancelled: bool
    counts: Counts = Counts()

    @property
    def status(self) -> Status:
        """In progress while one of its documents is."""
        if self.counts.in_progress:
            return "in_progress"
        return "cancelled" if self.cancelled else "completed"


@dataclass(frozen=True, slots=True)
class Job:
    """A document that a worker has claimed. `failures` counts the workers it ended and errors of ours.

    `queued_ms` is since when it waits; `traceparent` the span that queued it, `uploaded` the one in which its
    file came.
    """

    document: Document
    owner: str
    failures: int
    queued_ms: int = 0
    traceparent: str = ""
    uploaded: str = ""


class NotFound(Exception):
    """There is none of that id, or it is another tenant's: both look the same. `what` names its kind."""

    def __init__(self, what: str, identity: str) -> None:
        super().__init__(f"No {what} found with id '{identity[:64]}'.")
        self.what = what


class LeaseLost(Exception):
    """Another worker has the job, or its document is gone or has changed: what was done does not count."""


def document_id(tenant: str, store_id: str, file_id: str) -> str:
    """Return the id of a file in a store: always the same."""
    return blake2b("\n".join((tenant, store_id, file_id)).encode(), digest_size=16).hexdigest()


def content_key(tenant: str, digest: str, chunking: Chunking, pipeline: str) -> str:
    """Return what tells whether chunks can be used again: the file's bytes, how they are cut, and by what."""
    body = "\n".join((tenant, digest, str(chunking.size), str(chunking.overlap), pipeline))
    return sha256(body.encode()).hexdigest()


def file_blob(tenant: str, digest: str) -> str:
    """Return the name of the blob with a file's bytes; tenants share none."""
    return f"files/{sha256(tenant.encode()).hexdigest()[:24]}/{digest}"


def content_blob(content: str) -> str:
    """Return the name of the blob with a document's chunks and vectors."""
    return f"chunks/{content}"

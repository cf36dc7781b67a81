"""Versions of documents: which one counts, and what has been deleted."""

from typing import NamedTuple

from penstock.messages.documents import DocumentChunked, DocumentDeleted

MAX_VERSION = 2**53 - 1
"""Beyond it an index that compares versions as floats would confuse two of them."""


class DocumentKey(NamedTuple):
    """A document of a tenant; two tenants may use the same document id."""

    tenant: str
    document_id: str


class Head(NamedTuple):
    """The highest version known of a document; `deleted` makes it a tombstone for all up to it."""

    version: int
    deleted: bool


def after(head: Head | None, event: DocumentChunked | DocumentDeleted) -> Head:
    """Return a document's head after an event, whatever the order in which events arrive.

    A higher version wins; of a chunk and a deletion of the same version the deletion wins, so that a late
    chunk does not bring a deleted document back.
    """
    arrived = Head(event.version, isinstance(event, DocumentDeleted))
    return arrived if head is None else max(head, arrived)

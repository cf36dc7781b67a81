"""Tables of the documents database. Changes go through `migrations/`."""

from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKeyConstraint, Index, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from penstock.database.schema import Schema

# Constraints need names for a later migration to change them, SQLite's above all.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
TENANT = String(256)
ID = String(64)
TRACEPARENT = String(64)
"""The span in which a row came to be (W3C Trace Context), "" where there was none."""


class Base(DeclarativeBase):
    """All tables of ingestion."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {dict[str, Any]: JSON}  # noqa: RUF012  # as SQLAlchemy wants it


class FileRow(Base):
    """An uploaded file; `ready` once its bytes are kept."""

    __tablename__ = "files"
    __table_args__ = (Index(None, "tenant", "digest"), Index(None, "tenant", "created_at", "id"))

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(TENANT)
    name: Mapped[str] = mapped_column(String(1024))
    purpose: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    ready: Mapped[bool] = mapped_column(Boolean)
    traceparent: Mapped[str] = mapped_column(TRACEPARENT, server_default="")


class StoreRow(Base):
    """A vector store."""

    __tablename__ = "stores"
    __table_args__ = (Index(None, "tenant", "created_at", "id"),)

    tenant: Mapped[str] = mapped_column(TENANT, primary_key=True)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(1024))
    created_at: Mapped[int] = mapped_column(BigInteger)
    last_active_at: Mapped[int] = mapped_column(BigInteger)
    expires_after_days: Mapped[int | None] = mapped_column(Integer)
    details: Mapped[dict[str, Any]]
    """The user's metadata."""
    answers: Mapped[str | None] = mapped_column(String(16))


class DocumentRow(Base):
    """A file in a store."""

    __tablename__ = "documents"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "store_id"], ["stores.tenant", "stores.id"]),
        ForeignKeyConstraint(["file_id"], ["files.id"]),
        Index(None, "tenant", "store_id", "created_at", "id"),
        Index(None, "tenant", "file_name"),
        Index(None, "file_id"),
        Index(None, "content"),
        Index(None, "batch_id"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(TENANT)
    store_id: Mapped[str] = mapped_column(ID)
    file_id: Mapped[str] = mapped_column(ID)
    file_name: Mapped[str] = mapped_column(String(1024))
    digest: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))
    attributes: Mapped[dict[str, Any]]
    chunk_size: Mapped[int | None] = mapped_column(Integer)
    chunk_overlap: Mapped[int | None] = mapped_column(Integer)
    batch_id: Mapped[str] = mapped_column(ID)
    attempt: Mapped[int] = mapped_column(Integer)
    chunks: Mapped[int] = mapped_column(Integer)
    pages: Mapped[int] = mapped_column(Integer)
    code: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text)
    content: Mapped[str] = mapped_column(ID)


class JobRow(Base):
    """A document that is not done. Times are Unix milliseconds; `owner` "" is nobody.

    `parts` is how many must be indexed, 0 while they are not all published.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        ForeignKeyConstraint(["document_id"], ["documents.id"], ondelete="CASCADE"),
        Index(None, "not_before"),
    )

    document_id: Mapped[str] = mapped_column(ID, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    queued_at: Mapped[int] = mapped_column(BigInteger)
    owner: Mapped[str] = mapped_column(ID)
    lease_until: Mapped[int] = mapped_column(BigInteger)
    not_before: Mapped[int] = mapped_column(BigInteger)
    attempts: Mapped[int] = mapped_column(Integer)
    failures: Mapped[int] = mapped_column(Integer)
    parts: Mapped[int] = mapped_column(Integer)
    traceparent: Mapped[str] = mapped_column(TRACEPARENT, server_default="")


class IndexedRow(Base):
    """A part of a document's version that the index has."""

    __tablename__ = "indexed_parts"

    document_id: Mapped[str] = mapped_column(ID, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    part: Mapped[int] = mapped_column(Integer, primary_key=True)


class LogPartRow(Base):
    """A part of a document's version that may stand in the log.

    `due` is when the log is to be told that it no longer counts, Unix milliseconds; 0: it counts. `again` is
    whether the log was told once.
    """

    __tablename__ = "log_parts"
    __table_args__ = (Index(None, "due"),)

    document_id: Mapped[str] = mapped_column(ID, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    part: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant: Mapped[str] = mapped_column(TENANT)
    due: Mapped[int] = mapped_column(BigInteger)
    again: Mapped[bool] = mapped_column(Boolean)


class BatchRow(Base):
    """Files that were put into a store together."""

    __tablename__ = "batches"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(TENANT)
    store_id: Mapped[str] = mapped_column(ID)
    created_at: Mapped[int] = mapped_column(BigInteger)
    cancelled: Mapped[bool] = mapped_column(Boolean)


class OutboxRow(Base):
    """An event that is still to be written to the log."""

    __tablename__ = "outbox"

    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    tenant: Mapped[str] = mapped_column(TENANT)
    subject: Mapped[str] = mapped_column(ID)
    type: Mapped[str] = mapped_column(String(128))
    body: Mapped[str] = mapped_column(Text)
    traceparent: Mapped[str] = mapped_column(TRACEPARENT, server_default="")


class GarbageRow(Base):
    """A blob that something was the last to need, perhaps: looked at later, and removed if so."""

    __tablename__ = "garbage"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    """`file` or `content`."""
    tenant: Mapped[str] = mapped_column(TENANT, primary_key=True)
    key: Mapped[str] = mapped_column(ID, primary_key=True)


SCHEMA = Schema(
    "documents", "penstock-ingestion-db", Base.metadata, Path(__file__).with_name("migrations") / "versions"
)

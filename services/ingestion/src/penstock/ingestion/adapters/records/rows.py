"""Between rows and plain data, and one page of a list."""

from typing import Any

from sqlalchemy import Row, Select, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.ingestion.adapters.tables import DocumentRow, FileRow, StoreRow
from penstock.ingestion.domain.model import (
    CANCELLED,
    Batch,
    Chunking,
    Counts,
    Document,
    File,
    NotFound,
    Store,
)
from penstock.ingestion.ports import Page

FILE = "file"
STORE = "vector store"
BATCH = "file batch"
STORE_FILE = "file in this vector store"


def file_of(row: Row[Any]) -> File:
    """Return a file."""
    return File(row.id, row.tenant, row.name, row.purpose, row.size, row.digest, row.created_at)


def document_of(row: Row[Any]) -> Document:
    """Return a document."""
    chunking = None if row.chunk_size is None else Chunking(row.chunk_size, row.chunk_overlap)
    return Document(
        id=row.id,
        tenant=row.tenant,
        store_id=row.store_id,
        file_id=row.file_id,
        file_name=row.file_name,
        digest=row.digest,
        size=row.size,
        version=row.version,
        created_at=row.created_at,
        state=row.state,
        attributes=row.attributes,
        chunking=chunking,
        batch_id=row.batch_id,
        attempt=row.attempt,
        chunks=row.chunks,
        pages=row.pages,
        code=row.code,
        message=row.message,
        content=row.content,
    )


def store_of(row: Row[Any], counts: Counts, usage_bytes: int) -> Store:
    """Return a store."""
    return Store(
        row.tenant,
        row.id,
        row.name,
        row.created_at,
        row.last_active_at,
        row.expires_after_days,
        row.details,
        counts,
        usage_bytes,
        row.answers,
    )


def batch_of(row: Row[Any], counts: Counts) -> Batch:
    """Return a batch."""
    return Batch(row.id, row.tenant, row.store_id, row.created_at, row.cancelled, counts)


_DONE = DocumentRow.state == "completed"
_CANCELLED = and_(DocumentRow.state == "failed", DocumentRow.code == CANCELLED)
_FAILED = and_(DocumentRow.state == "failed", DocumentRow.code != CANCELLED)
STATUS = {
    "completed": _DONE,
    "cancelled": _CANCELLED,
    "failed": _FAILED,
    "in_progress": DocumentRow.state.not_in(["completed", "failed"]),
}
"""OpenAI's states as conditions."""
COUNTED = [
    func.sum(case((STATUS[name], 1), else_=0)).label(name)
    for name in ("in_progress", "completed", "failed", "cancelled")
] + [func.sum(case((_DONE, DocumentRow.size), else_=0)).label("usage_bytes")]


def counts_of(row: Row[Any] | None) -> Counts:
    """Return the counts of a row of COUNTED."""
    if row is None:
        return Counts()
    return Counts(row.in_progress or 0, row.completed or 0, row.failed or 0, row.cancelled or 0)


async def paged(
    connection: AsyncConnection,
    query: Select[Any],
    table: type[FileRow] | type[StoreRow] | type[DocumentRow],
    named: Any,
    page: Page,
) -> list[Row[Any]]:
    """Return the rows of a page, and one more if there are more.

    `query` has the conditions; `named` is the column that `after` and `before` are values of.
    """
    order = (table.created_at, table.id)
    for given, further in ((page.after, not page.descending), (page.before, page.descending)):
        if given:
            query = query.where(await _beyond(connection, query, table, named, given, further=further))
    backwards = bool(page.before) and not page.after
    descending = page.descending is not backwards
    query = query.order_by(*(column.desc() if descending else column for column in order))
    rows = list((await connection.execute(query.limit(page.limit + 1))).all())
    return rows[::-1] if backwards else rows


async def _beyond(
    connection: AsyncConnection, query: Select[Any], table: Any, named: Any, given: str, *, further: bool
) -> Any:
    """Return the condition of what lies after (`further`) or before the named row, in order of creation."""
    place = (await connection.execute(query.where(named == given))).first()
    if place is None:
        raise NotFound("object", given)
    created, identity = place.created_at, place.id
    if further:
        return or_(table.created_at > created, and_(table.created_at == created, table.id > identity))
    return or_(table.created_at < created, and_(table.created_at == created, table.id < identity))


def counted(*conditions: Any) -> Select[Any]:
    """Return the query for the counts of the documents that meet the conditions."""
    return select(*COUNTED).where(*conditions)

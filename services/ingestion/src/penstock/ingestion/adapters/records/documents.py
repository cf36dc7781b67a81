"""Files in stores, and batches of them (port: Documents)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.database.database import Database
from penstock.ingestion.adapters.records.default import provide_default
from penstock.ingestion.adapters.records.garbage import CONTENT, discard
from penstock.ingestion.adapters.records.outbox import note_deleted, note_state
from penstock.ingestion.adapters.records.rows import (
    BATCH,
    FILE,
    STATUS,
    STORE,
    STORE_FILE,
    batch_of,
    counted,
    counts_of,
    document_of,
    paged,
)
from penstock.ingestion.adapters.tables import (
    BatchRow,
    DocumentRow,
    FileRow,
    IndexedRow,
    JobRow,
    StoreRow,
)
from penstock.ingestion.domain.model import (
    CANCELLED,
    Attributes,
    Batch,
    Document,
    NotFound,
    Status,
    document_id,
)
from penstock.ingestion.ports import Attachment, Page
from penstock.telemetry.spans import current_traceparent

_SIBLINGS = 3


class SqlDocuments:
    """Port: Documents. `now_ms` gives Unix milliseconds."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    async def attach(
        self, tenant: str, store_id: str, attachments: Sequence[Attachment], batch_id: str = ""
    ) -> list[Document]:
        now = self._now_ms()
        async with self._database.writing() as connection:
            await provide_default(connection, tenant, store_id, now // 1000)
            used = (
                update(StoreRow)
                .where(StoreRow.tenant == tenant, StoreRow.id == store_id)
                .values(last_active_at=now // 1000)
            )
            if (await connection.execute(used)).rowcount == 0:
                raise NotFound(STORE, store_id)
            if batch_id:
                row = {"id": batch_id, "tenant": tenant, "store_id": store_id, "created_at": now // 1000}
                await connection.execute(insert(BatchRow).values(**row, cancelled=False))
            return [
                await self._attach(connection, tenant, store_id, one, batch_id, now) for one in attachments
            ]

    async def _attach(
        self,
        connection: AsyncConnection,
        tenant: str,
        store_id: str,
        one: Attachment,
        batch_id: str,
        now: int,
    ) -> Document:
        query = select(FileRow).where(FileRow.tenant == tenant, FileRow.id == one.file_id, FileRow.ready)
        file = (await connection.execute(query)).first()
        if file is None:
            raise NotFound(FILE, one.file_id)
        identity = document_id(tenant, store_id, one.file_id)
        row = (await connection.execute(select(DocumentRow).where(DocumentRow.id == identity))).first()
        known = document_of(row) if row else None
        if known and known.state != "failed" and _is_same(known, one):
            if batch_id:
                await _change(connection, identity, batch_id=batch_id)
            return replace(known, batch_id=batch_id or known.batch_id)
        document = Document(
            id=identity,
            tenant=tenant,
            store_id=store_id,
            file_id=file.id,
            file_name=file.name,
            digest=file.digest,
            size=file.size,
            version=max(now, known.version + 1 if known else 0),
            created_at=known.created_at if known else now // 1000,
            state="queued",
            attributes=dict(one.attributes),
            chunking=one.chunking,
            batch_id=batch_id,
        )
        if known is None:
            await connection.execute(insert(DocumentRow).values(_row(document)))
        else:
            await _change(connection, identity, **_row(document))
        await _queue(connection, document, now)
        return document

    async def get(self, tenant: str, store_id: str, file_id: str) -> Document:
        async with self._database.reading() as connection:
            return await _find(connection, tenant, store_id, file_id)

    async def page(
        self, tenant: str, store_id: str, page: Page, status: Status | None = None, batch_id: str = ""
    ) -> list[Document]:
        query = select(DocumentRow).where(DocumentRow.tenant == tenant, DocumentRow.store_id == store_id)
        if status:
            query = query.where(STATUS[status])
        if batch_id:
            query = query.where(DocumentRow.batch_id == batch_id)
        async with self._database.reading() as connection:
            rows = await paged(connection, query, DocumentRow, DocumentRow.file_id, page)
        return [document_of(row) for row in rows]

    async def change(self, tenant: str, store_id: str, file_id: str, attributes: Attributes) -> Document:
        now = self._now_ms()
        async with self._database.writing() as connection:
            known = await _find(connection, tenant, store_id, file_id)
            document = replace(known, attributes=dict(attributes), version=max(now, known.version + 1))
            if known.state != "failed":
                document = replace(document, state="queued", attempt=0)
            await _change(connection, known.id, **_row(document))
            if known.state != "failed":
                await _queue(connection, document, now)
        return document

    async def detach(self, tenant: str, store_id: str, file_id: str) -> None:
        async with self._database.writing() as connection:
            known = await _find(connection, tenant, store_id, file_id)
            await forget(connection, DocumentRow.id == known.id)

    async def batch(self, tenant: str, store_id: str, batch_id: str) -> Batch:
        async with self._database.reading() as connection:
            return await _batch(connection, tenant, store_id, batch_id)

    async def cancel(self, tenant: str, store_id: str, batch_id: str) -> Batch:
        async with self._database.writing() as connection:
            await _batch(connection, tenant, store_id, batch_id)
            await connection.execute(update(BatchRow).where(BatchRow.id == batch_id).values(cancelled=True))
            query = select(DocumentRow).where(DocumentRow.batch_id == batch_id, STATUS["in_progress"])
            for row in (await connection.execute(query)).all():
                message = "Its batch was cancelled."
                document = replace(document_of(row), state="failed", code=CANCELLED, message=message)
                await _change(connection, row.id, state="failed", code=CANCELLED, message=message)
                await connection.execute(delete(JobRow).where(JobRow.document_id == row.id))
                # Parts of it may be in the index already, or on their way.
                await note_deleted(connection, document)
                await note_state(connection, document)
            return await _batch(connection, tenant, store_id, batch_id)

    async def siblings(self, document: Document) -> list[str]:
        query = (
            select(DocumentRow.content)
            .where(
                DocumentRow.tenant == document.tenant,
                DocumentRow.file_name == document.file_name,
                DocumentRow.content != "",
            )
            .order_by(DocumentRow.version.desc())
            .limit(_SIBLINGS)
        )
        async with self._database.reading() as connection:
            return list(dict.fromkeys((await connection.execute(query)).scalars()))


async def forget(connection: AsyncConnection, *conditions: Any) -> None:
    """Remove documents, their jobs and parts, and have the index told."""
    rows = (await connection.execute(select(DocumentRow).where(*conditions))).all()
    for row in rows:
        await note_deleted(connection, document_of(row))
        await connection.execute(delete(IndexedRow).where(IndexedRow.document_id == row.id))
        await connection.execute(delete(JobRow).where(JobRow.document_id == row.id))
        await connection.execute(delete(DocumentRow).where(DocumentRow.id == row.id))
        await discard(connection, CONTENT, row.tenant, row.content)


async def _queue(connection: AsyncConnection, document: Document, now: int) -> None:
    """Make the job of a document, in place of one that there may be for an earlier version."""
    await connection.execute(delete(JobRow).where(JobRow.document_id == document.id))
    await connection.execute(delete(IndexedRow).where(IndexedRow.document_id == document.id))
    job = {
        "document_id": document.id,
        "version": document.version,
        "queued_at": now,
        "owner": "",
        "lease_until": 0,
        "not_before": 0,
        "attempts": 0,
        "failures": 0,
        "parts": 0,
        "traceparent": current_traceparent(),
    }
    await connection.execute(insert(JobRow).values(job))
    await note_state(connection, document)


async def _change(connection: AsyncConnection, identity: str, **values: Any) -> None:
    await connection.execute(update(DocumentRow).where(DocumentRow.id == identity).values(values))


async def _find(connection: AsyncConnection, tenant: str, store_id: str, file_id: str) -> Document:
    query = select(DocumentRow).where(
        DocumentRow.tenant == tenant, DocumentRow.store_id == store_id, DocumentRow.file_id == file_id
    )
    row = (await connection.execute(query)).first()
    if row is None:
        raise NotFound(STORE_FILE, file_id)
    return document_of(row)


async def _batch(connection: AsyncConnection, tenant: str, store_id: str, batch_id: str) -> Batch:
    query = select(BatchRow).where(
        BatchRow.tenant == tenant, BatchRow.store_id == store_id, BatchRow.id == batch_id
    )
    row = (await connection.execute(query)).first()
    if row is None:
        raise NotFound(BATCH, batch_id)
    counts = (await connection.execute(counted(DocumentRow.batch_id == batch_id))).first()
    return batch_of(row, counts_of(counts))


def _is_same(known: Document, one: Attachment) -> bool:
    return known.chunking == one.chunking and dict(known.attributes) == dict(one.attributes)


def _row(document: Document) -> dict[str, Any]:
    chunking = document.chunking
    return {
        "id": document.id,
        "tenant": document.tenant,
        "store_id": document.store_id,
        "file_id": document.file_id,
        "file_name": document.file_name,
        "digest": document.digest,
        "size": document.size,
        "version": document.version,
        "created_at": document.created_at,
        "state": document.state,
        "attributes": dict(document.attributes),
        "chunk_size": chunking.size if chunking else None,
        "chunk_overlap": chunking.overlap if chunking else None,
        "batch_id": document.batch_id,
        "attempt": document.attempt,
        "chunks": document.chunks,
        "pages": document.pages,
        "code": document.code,
        "message": document.message,
        "content": document.content,
    }

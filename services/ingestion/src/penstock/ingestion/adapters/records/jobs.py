"""The work that is open, with its leases (port: Jobs)."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, and_, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.database.database import Database
from penstock.ingestion.adapters.records.garbage import CONTENT, discard
from penstock.ingestion.adapters.records.log_parts import note_published, note_replaced
from penstock.ingestion.adapters.records.outbox import note_deleted, note_state
from penstock.ingestion.adapters.records.rows import document_of
from penstock.ingestion.adapters.tables import DocumentRow, FileRow, IndexedRow, JobRow
from penstock.ingestion.domain.model import Code, Document, Job, LeaseLost
from penstock.ingestion.ports import Census
from penstock.messages.documents import DocumentState

LEASE_MS = 10_000
INDEX_WAIT_MS = 120_000
"""For how long the index is waited for before a document is published again; doubles each time."""
_LONGEST_WAIT_MS = 3_600_000


class SqlJobs:
    """Port: Jobs. `now_ms` gives Unix milliseconds; all workers' clocks should agree within seconds."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    async def claim(self, owner: str) -> Job | None:
        now = self._now_ms()
        async with self._database.writing() as connection:
            # Rows that another worker is claiming now are passed by (on PostgreSQL; SQLite has one writer).
            query = _free(now).order_by(JobRow.queued_at).limit(1).with_for_update(skip_locked=True)
            row = (await connection.execute(query)).first()
            if row is None:
                return None
            failures = row.failures + (row.owner != "")
            document = await _document(connection, row.document_id)
            attempt = row.attempts + 1
            document = replace(document, attempt=attempt)
            if row.parts:  # published, and never indexed whole: once more, as a new version
                document = replace(document, version=max(now, document.version + 1))
            await connection.execute(
                update(JobRow)
                .where(JobRow.document_id == row.document_id)
                .values(
                    owner=owner,
                    lease_until=now + LEASE_MS,
                    attempts=attempt,
                    failures=failures,
                    parts=0,
                    version=document.version,
                )
            )
            await _change(connection, document, attempt=attempt, version=document.version)
            upload = select(FileRow.traceparent).where(FileRow.id == document.file_id)
            uploaded = (await connection.execute(upload)).scalar_one_or_none() or ""
        return Job(document, owner, failures, row.queued_at, row.traceparent, uploaded)

    async def waiting(self) -> bool:
        query = _free(self._now_ms()).limit(1)
        async with self._database.reading() as connection:
            return (await connection.execute(query)).first() is not None

    async def census(self) -> Census:
        query = (
            select(DocumentRow.state, func.count(), func.min(JobRow.queued_at))
            .join(JobRow, JobRow.document_id == DocumentRow.id)
            .group_by(DocumentRow.state)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return Census({state: count for state, count, _ in rows}, min((ms for *_, ms in rows), default=None))

    async def beat(self, job: Job) -> None:
        async with self._database.writing() as connection:
            await self._hold(connection, job, lease_until=self._now_ms() + LEASE_MS)

    async def state(self, job: Job, state: DocumentState) -> None:
        async with self._database.writing() as connection:
            await self._hold(connection, job, lease_until=self._now_ms() + LEASE_MS)
            await _tell(connection, replace(job.document, state=state))

    async def publishing(self, job: Job, parts: int) -> None:
        async with self._database.writing() as connection:
            await self._hold(connection, job, lease_until=self._now_ms() + LEASE_MS)
            await note_published(connection, job.document, parts)
            await _tell(connection, replace(job.document, state="indexing"))

    async def published(self, job: Job, content: str, chunks: int, pages: int, parts: int) -> None:
        now = self._now_ms()
        wait = min(_LONGEST_WAIT_MS, INDEX_WAIT_MS << min(10, job.document.attempt - 1))
        document = replace(job.document, state="indexing", chunks=chunks, pages=pages, content=content)
        async with self._database.writing() as connection:
            await self._hold(connection, job, owner="", lease_until=0, parts=parts, not_before=now + wait)
            await _tell(connection, document)
            if job.document.content != content:
                await discard(connection, CONTENT, document.tenant, job.document.content)
            await _complete(connection, document, parts, now)

    async def put_back(self, job: Job, seconds: float, *, fault: bool) -> None:
        not_before = self._now_ms() + round(seconds * 1000)
        async with self._database.writing() as connection:
            failures = JobRow.failures + int(fault)
            await self._hold(
                connection, job, owner="", lease_until=0, not_before=not_before, failures=failures
            )
            await _tell(connection, replace(job.document, state="queued"))

    async def fail(self, job: Job, code: Code, message: str) -> None:
        document = replace(job.document, state="failed", code=code, message=message, chunks=0)
        async with self._database.writing() as connection:
            await self._hold(connection, job)
            await connection.execute(delete(JobRow).where(JobRow.document_id == document.id))
            # Parts of it may be in the index, from an attempt before.
            await note_deleted(connection, document)
            await _tell(connection, document)

    async def indexed(self, parts: Collection[tuple[str, int, int]]) -> None:
        if not parts:
            return
        async with self._database.writing() as connection:
            dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
            documents = sorted({(identity, version) for identity, version, _ in parts})
            query = select(JobRow.document_id, JobRow.version, JobRow.parts).where(
                or_(*(and_(JobRow.document_id == i, JobRow.version == v) for i, v in documents))
            )
            for row in (await connection.execute(query)).all():
                values = [
                    {"document_id": identity, "version": version, "part": part}
                    for identity, version, part in sorted(set(parts))
                    if (identity, version) == (row.document_id, row.version)
                ]
                await connection.execute(dialect.insert(IndexedRow).values(values).on_conflict_do_nothing())
                if row.parts:
                    document = await _document(connection, row.document_id)
                    await _complete(connection, document, row.parts, self._now_ms())

    async def _hold(self, connection: AsyncConnection, job: Job, **values: Any) -> None:
        """Change the job if it is still this owner's, of this version. Raises LeaseLost."""
        mine = (
            JobRow.document_id == job.document.id,
            JobRow.version == job.document.version,
            JobRow.owner == job.owner,
        )
        changed = await connection.execute(update(JobRow).where(*mine).values(values or {"owner": job.owner}))
        if changed.rowcount == 0:
            raise LeaseLost


def _free(now: int) -> Select[Any]:
    nobodys = and_(JobRow.owner == "", JobRow.not_before <= now)
    return select(JobRow).where(or_(nobodys, and_(JobRow.owner != "", JobRow.lease_until < now)))


async def _document(connection: AsyncConnection, identity: str) -> Document:
    row = (await connection.execute(select(DocumentRow).where(DocumentRow.id == identity))).one()
    return document_of(row)


async def _tell(connection: AsyncConnection, document: Document) -> None:
    """Set a document's state, and have it told."""
    await _change(
        connection,
        document,
        state=document.state,
        chunks=document.chunks,
        pages=document.pages,
        code=document.code,
        message=document.message,
        content=document.content,
    )
    await note_state(connection, document)


async def _change(connection: AsyncConnection, document: Document, **values: Any) -> None:
    await connection.execute(update(DocumentRow).where(DocumentRow.id == document.id).values(values))


async def _complete(connection: AsyncConnection, document: Document, parts: int, now_ms: int) -> None:
    """End the job if all its parts are indexed."""
    query = select(func.count()).where(
        IndexedRow.document_id == document.id, IndexedRow.version == document.version
    )
    if (await connection.execute(query)).scalar_one() < parts:
        return
    await connection.execute(delete(JobRow).where(JobRow.document_id == document.id))
    await connection.execute(delete(IndexedRow).where(IndexedRow.document_id == document.id))
    await note_replaced(connection, document, now_ms)
    await _tell(connection, replace(document, state="completed", code="", message=""))

"""Uploaded files (port: Files)."""

from sqlalchemy import delete, insert, select, update

from penstock.database.database import Database
from penstock.ingestion.adapters.records.documents import forget
from penstock.ingestion.adapters.records.garbage import FILE as FILE_BLOB
from penstock.ingestion.adapters.records.garbage import discard
from penstock.ingestion.adapters.records.rows import FILE, file_of, paged
from penstock.ingestion.adapters.tables import DocumentRow, FileRow
from penstock.ingestion.domain.model import File, NotFound
from penstock.ingestion.ports import Page
from penstock.telemetry.spans import current_traceparent


class SqlFiles:
    """Port: Files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, file: File) -> None:
        row = {
            "id": file.id,
            "tenant": file.tenant,
            "name": file.name,
            "purpose": file.purpose,
            "size": file.size,
            "digest": file.digest,
            "created_at": file.created_at,
            "ready": False,
            "traceparent": current_traceparent(),
        }
        async with self._database.writing() as connection:
            await connection.execute(insert(FileRow).values(row))

    async def finish(self, file: File) -> None:
        async with self._database.writing() as connection:
            await connection.execute(update(FileRow).where(FileRow.id == file.id).values(ready=True))

    async def get(self, tenant: str, file_id: str) -> File:
        query = select(FileRow).where(FileRow.tenant == tenant, FileRow.id == file_id, FileRow.ready)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFound(FILE, file_id)
        return file_of(row)

    async def page(self, tenant: str, page: Page, purpose: str = "", name: str = "") -> list[File]:
        query = select(FileRow).where(FileRow.tenant == tenant, FileRow.ready)
        if purpose:
            query = query.where(FileRow.purpose == purpose)
        if name:
            query = query.where(FileRow.name == name)
        async with self._database.reading() as connection:
            return [file_of(row) for row in await paged(connection, query, FileRow, FileRow.id, page)]

    async def delete(self, tenant: str, file_id: str) -> File:
        async with self._database.writing() as connection:
            found = select(FileRow).where(FileRow.tenant == tenant, FileRow.id == file_id, FileRow.ready)
            row = (await connection.execute(found)).first()
            if row is None:
                raise NotFound(FILE, file_id)
            await forget(connection, DocumentRow.file_id == file_id)
            await connection.execute(delete(FileRow).where(FileRow.id == file_id))
            await discard(connection, FILE_BLOB, tenant, row.digest)
        return file_of(row)

    async def forget_abandoned(self, before: int) -> int:
        old = (FileRow.ready.is_(False), FileRow.created_at < before)
        async with self._database.writing() as connection:
            rows = (await connection.execute(select(FileRow).where(*old))).all()
            await connection.execute(delete(FileRow).where(*old))
            for row in rows:
                await discard(connection, FILE_BLOB, row.tenant, row.digest)
        return len(rows)

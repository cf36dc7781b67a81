"""Blobs that may be needed no more (port: Garbage)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.database.database import Database
from penstock.database.statements import insert_unless_there
from penstock.ingestion.adapters.tables import DocumentRow, FileRow, GarbageRow
from penstock.ingestion.domain.model import content_blob, file_blob

FILE = "file"
CONTENT = "content"


class SqlGarbage:
    """Port: Garbage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def next(self) -> AsyncIterator[str | None]:
        # One transaction around the removal: on SQLite nothing can come to need the blob meanwhile.
        async with self._database.writing() as connection:
            row = (await connection.execute(select(GarbageRow).limit(1))).first()
            if row is None:
                yield None
                return
            yield await _free(connection, row.kind, row.tenant, row.key)
            mine = and_(
                GarbageRow.kind == row.kind, GarbageRow.tenant == row.tenant, GarbageRow.key == row.key
            )
            await connection.execute(delete(GarbageRow).where(mine))


async def discard(connection: AsyncConnection, kind: str, tenant: str, key: str) -> None:
    """Have a blob looked at, and removed if nothing needs it."""
    if not key:
        return
    await connection.execute(insert_unless_there(connection, GarbageRow, kind=kind, tenant=tenant, key=key))


async def _free(connection: AsyncConnection, kind: str, tenant: str, key: str) -> str:
    """Return the blob's name if nothing needs it, else "" ."""
    if kind == FILE:
        needed = select(func.count()).where(FileRow.tenant == tenant, FileRow.digest == key)
        name = file_blob(tenant, key)
    else:
        needed = select(func.count()).where(DocumentRow.content == key)
        name = content_blob(key)
    return "" if (await connection.execute(needed)).scalar_one() else name

"""What of documents stands in the log, and what of that no longer counts (port: Leftovers)."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.database.database import Database
from penstock.ingestion.adapters.tables import LogPartRow
from penstock.ingestion.domain.model import Document
from penstock.ingestion.ports import Leftover
from penstock.messages.topics import COMPACTION_LAG_MS

AGAIN_MS = COMPACTION_LAG_MS + 60_000
"""Kafka removes only what stands in a segment that it has closed, and it closes one that is old enough with
the next write to the partition. In a quiet one that write is ours."""
_IT = (
    LogPartRow.document_id == bindparam("its_document"),
    LogPartRow.version == bindparam("its_version"),
    LogPartRow.part == bindparam("its_part"),
    LogPartRow.due == bindparam("its_due"),
)


class SqlLeftovers:
    """Port: Leftovers. `now_ms` gives Unix milliseconds."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    async def forgotten(self, versions: Collection[tuple[str, int]]) -> None:
        if not versions:
            return
        gone = or_(
            *(and_(LogPartRow.document_id == i, LogPartRow.version <= v) for i, v in sorted(set(versions)))
        )
        async with self._database.writing() as connection:
            await _expire(connection, gone, now_ms=self._now_ms())

    async def late(self, parts: Collection[tuple[str, str, int, int]]) -> None:
        if parts:
            async with self._database.writing() as connection:
                await _upsert(connection, sorted(set(parts)), due=self._now_ms())

    async def next(self, limit: int) -> list[Leftover]:
        query = (
            select(LogPartRow)
            .where(LogPartRow.due > 0, LogPartRow.due <= self._now_ms())
            .order_by(LogPartRow.due)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Leftover(r.tenant, r.document_id, r.version, r.part, r.due, r.again) for r in rows]

    async def taken_back(self, leftovers: Sequence[Leftover]) -> None:
        once_more = {"due": self._now_ms() + AGAIN_MS, "again": True}
        async with self._database.writing() as connection:
            # One that has come anew meanwhile has another `due`: it stays as it is.
            if first := [_its(one) for one in leftovers if not one.again]:
                await connection.execute(update(LogPartRow).where(*_IT).values(once_more), first)
            if last := [_its(one) for one in leftovers if one.again]:
                await connection.execute(delete(LogPartRow).where(*_IT), last)


async def note_published(connection: AsyncConnection, document: Document, parts: int) -> None:
    """Note that the parts of a version may stand in the log from now on."""
    rows = [(document.tenant, document.id, document.version, part) for part in range(parts)]
    await _upsert(connection, rows, due=0)


async def note_replaced(connection: AsyncConnection, document: Document, now_ms: int) -> None:
    """Note that all earlier versions of a document no longer count."""
    earlier = and_(LogPartRow.document_id == document.id, LogPartRow.version < document.version)
    await _expire(connection, earlier, now_ms=now_ms)


async def _expire(connection: AsyncConnection, which: Any, *, now_ms: int) -> None:
    await connection.execute(update(LogPartRow).where(which, LogPartRow.due == 0).values(due=now_ms))


async def _upsert(
    connection: AsyncConnection, parts: Sequence[tuple[str, str, int, int]], *, due: int
) -> None:
    """Set `due` of parts (tenant, document, version, part), of which the log has not been told yet."""
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    told = {"due": due, "again": False}
    rows = [
        {"tenant": tenant, "document_id": identity, "version": version, "part": part, **told}
        for tenant, identity, version, part in parts
    ]
    insert = dialect.insert(LogPartRow).on_conflict_do_update(
        index_elements=["document_id", "version", "part"], set_=told
    )
    await connection.execute(insert, rows)


def _its(one: Leftover) -> dict[str, object]:
    return {
        "its_document": one.document_id,
        "its_version": one.version,
        "its_part": one.part,
        "its_due": one.due_ms,
    }

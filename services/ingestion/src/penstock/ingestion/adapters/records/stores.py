"""Vector stores (port: Stores)."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.database.database import Database
from penstock.ingestion.adapters.records.default import provide_default, row_of
from penstock.ingestion.adapters.records.documents import forget
from penstock.ingestion.adapters.records.rows import COUNTED, STORE, counts_of, paged, store_of
from penstock.ingestion.adapters.tables import BatchRow, DocumentRow, StoreRow
from penstock.ingestion.domain.model import NotFound, Store
from penstock.ingestion.ports import Page

_NAMES = {
    "name": "name",
    "expires_after_days": "expires_after_days",
    "metadata": "details",
    "answers": "answers",
}


class SqlStores:
    """Port: Stores. `now_s` gives Unix seconds."""

    def __init__(self, database: Database, now_s: Callable[[], int]) -> None:
        self._database = database
        self._now_s = now_s

    async def create(self, store: Store) -> None:
        async with self._database.writing() as connection:
            await connection.execute(insert(StoreRow).values(row_of(store)))

    async def get(self, tenant: str, store_id: str) -> Store:
        async with self._database.reading() as connection:
            row = await _row(connection, tenant, store_id)
            if row is not None:
                [store] = await _with_counts(connection, tenant, [row])
                return store
        async with self._database.writing() as connection:
            await provide_default(connection, tenant, store_id, self._now_s())
            row = await _find(connection, tenant, store_id)
            [store] = await _with_counts(connection, tenant, [row])
        return store

    async def page(self, tenant: str, page: Page) -> list[Store]:
        query = select(StoreRow).where(StoreRow.tenant == tenant)
        async with self._database.reading() as connection:
            rows = await paged(connection, query, StoreRow, StoreRow.id, page)
            return await _with_counts(connection, tenant, rows)

    async def change(self, tenant: str, store_id: str, changes: Mapping[str, object]) -> Store:
        async with self._database.writing() as connection:
            await provide_default(connection, tenant, store_id, self._now_s())
            await _find(connection, tenant, store_id)
            values = {_NAMES[name]: value for name, value in changes.items()}
            if values:
                await connection.execute(update(StoreRow).where(*_one(tenant, store_id)).values(values))
        return await self.get(tenant, store_id)

    async def touch(self, tenant: str, store_id: str) -> None:
        now = self._now_s()
        async with self._database.writing() as connection:
            await provide_default(connection, tenant, store_id, now)
            await connection.execute(
                update(StoreRow).where(*_one(tenant, store_id)).values(last_active_at=now)
            )

    async def delete(self, tenant: str, store_id: str) -> None:
        async with self._database.writing() as connection:
            await _find(connection, tenant, store_id)
            await forget(connection, DocumentRow.tenant == tenant, DocumentRow.store_id == store_id)
            await connection.execute(
                delete(BatchRow).where(BatchRow.tenant == tenant, BatchRow.store_id == store_id)
            )
            await connection.execute(delete(StoreRow).where(*_one(tenant, store_id)))

    async def expired(self) -> list[Store]:
        days = StoreRow.expires_after_days
        query = select(StoreRow).where(
            days.is_not(None), StoreRow.last_active_at + days * 86_400 < self._now_s()
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [store_of(row, counts_of(None), 0) for row in rows]


def _one(tenant: str, store_id: str) -> tuple[Any, Any]:
    return StoreRow.tenant == tenant, StoreRow.id == store_id


async def _row(connection: AsyncConnection, tenant: str, store_id: str) -> Any:
    return (await connection.execute(select(StoreRow).where(*_one(tenant, store_id)))).first()


async def _find(connection: AsyncConnection, tenant: str, store_id: str) -> Any:
    row = await _row(connection, tenant, store_id)
    if row is None:
        raise NotFound(STORE, store_id)
    return row


async def _with_counts(connection: AsyncConnection, tenant: str, rows: list[Any]) -> list[Store]:
    query = (
        select(DocumentRow.store_id, *COUNTED)
        .where(DocumentRow.tenant == tenant, DocumentRow.store_id.in_([row.id for row in rows]))
        .group_by(DocumentRow.store_id)
    )
    found = {row.store_id: row for row in (await connection.execute(query)).all()}
    return [
        store_of(row, counts_of(found.get(row.id)), found[row.id].usage_bytes if row.id in found else 0)
        for row in rows
    ]

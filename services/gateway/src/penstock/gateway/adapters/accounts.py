"""Tenants and keys in SQL (port: Accounts)."""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import select, update

from penstock.database.database import Database
from penstock.database.statements import insert_unless_there
from penstock.gateway.adapters.tables import KeyRow, TenantRow
from penstock.gateway.domain.caller import Caller
from penstock.gateway.domain.keys import KeyRecord

CALLER = (KeyRow.tenant, KeyRow.operator, KeyRow.prefix)
"""The fields of a Caller, in their order."""


class SqlAccounts:
    """Accounts over the database of their schema."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._now = now

    async def open(self) -> None:
        await self._database.open()

    async def caller_of(self, digest: str) -> Caller | None:
        query = select(*CALLER).where(KeyRow.digest == digest, KeyRow.revoked_at.is_(None))
        async with self._database.reading() as connection:
            found = (await connection.execute(query)).one_or_none()
        return None if found is None else Caller(*found)

    async def is_registered(self, digest: str) -> bool:
        async with self._database.reading() as connection:
            found = await connection.execute(select(KeyRow.id).where(KeyRow.digest == digest))
            return found.first() is not None

    async def register(self, tenant: str, key: KeyRecord, *, operator: bool = False) -> None:
        now = self._now()
        async with self._database.writing() as connection:
            # There already, or put there by another replica just now: both are what was asked for.
            await connection.execute(insert_unless_there(connection, TenantRow, name=tenant, created_at=now))
            added = insert_unless_there(
                connection,
                KeyRow,
                tenant=tenant,
                digest=key.digest,
                prefix=key.prefix,
                operator=operator,
                created_at=now,
            )
            await connection.execute(added)

    async def revoke(self, digest: str) -> bool:
        change = (
            update(KeyRow)
            .where(KeyRow.digest == digest, KeyRow.revoked_at.is_(None))
            .values(revoked_at=self._now())
        )
        async with self._database.writing() as connection:
            return (await connection.execute(change)).rowcount > 0

    async def close(self) -> None:
        await self._database.close()

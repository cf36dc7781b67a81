"""Idempotency keys in SQL, beside the accounts (port: IdempotencyKeys)."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.gateway.adapters.tables import IdempotencyRow
from penstock.gateway.ports import AccountsAway, Claim

KEPT = timedelta(hours=24)
_ATTEMPTS = 5
Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


class SqlIdempotencyKeys:
    """Keys in the accounts database, over its transactions."""

    def __init__(
        self, transaction: Transaction, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._transaction = transaction
        self._now = now

    async def claim(self, tenant: str, key: str, mine: Claim) -> Claim:
        row = IdempotencyRow
        mine_only = (row.tenant == tenant, row.key == key)
        for _ in range(_ATTEMPTS):
            try:
                async with self._transaction() as connection:
                    await connection.execute(
                        delete(row).where(*mine_only, row.created_at < self._now() - KEPT)
                    )
                    await connection.execute(
                        insert(row).values(tenant=tenant, key=key, created_at=self._now(), **mine._asdict())
                    )
            except IntegrityError:
                query = select(row.request_id, row.fingerprint).where(*mine_only)
                async with self._transaction() as connection:
                    found = (await connection.execute(query)).first()
                if found is None:  # released between the two
                    continue
                return Claim(*found)
            return mine
        raise AccountsAway("accounts database: an idempotency key comes and goes")

    async def replace(self, tenant: str, key: str, old_id: str, new_id: str) -> bool:
        row = IdempotencyRow
        change = (
            update(row)
            .where(row.tenant == tenant, row.key == key, row.request_id == old_id)
            .values(request_id=new_id, created_at=self._now())
        )
        async with self._transaction() as connection:
            return (await connection.execute(change)).rowcount > 0

    async def release(self, tenant: str, key: str, request_id: str) -> None:
        row = IdempotencyRow
        gone = delete(row).where(row.tenant == tenant, row.key == key, row.request_id == request_id)
        async with self._transaction() as connection:
            await connection.execute(gone)

    async def forget_old(self) -> int:
        gone = delete(IdempotencyRow).where(IdempotencyRow.created_at < self._now() - KEPT)
        async with self._transaction() as connection:
            return (await connection.execute(gone)).rowcount

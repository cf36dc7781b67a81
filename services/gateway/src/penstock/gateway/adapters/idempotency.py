"""Idempotency keys in SQL, beside the accounts (port: IdempotencyKeys)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select, update

from penstock.database.database import Database
from penstock.database.statements import insert_or_replace
from penstock.gateway.adapters.tables import IdempotencyRow
from penstock.gateway.ports import AccountsAway, Claim

KEPT = timedelta(hours=24)
_ATTEMPTS = 5


class SqlIdempotencyKeys:
    """Keys in the accounts database."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._now = now

    async def claim(self, tenant: str, key: str, mine: Claim) -> Claim:
        row = IdempotencyRow
        query = select(row.request_id, row.fingerprint).where(row.tenant == tenant, row.key == key)
        for _ in range(_ATTEMPTS):
            now = self._now()
            async with self._database.writing() as connection:
                # One statement for a new key, which is the usual one, and for one that is forgotten.
                claimed = insert_or_replace(
                    connection,
                    row,
                    row.created_at < now - KEPT,
                    tenant=tenant,
                    key=key,
                    created_at=now,
                    **mine._asdict(),
                )
                if (await connection.execute(claimed)).rowcount:
                    return mine
                # PostgreSQL has waited for the other's commit, and each statement sees what is committed.
                found = (await connection.execute(query)).first()
            if found is not None:  # else it was released between the two
                return Claim(*found)
        raise AccountsAway("accounts database: an idempotency key comes and goes")

    async def replace(self, tenant: str, key: str, old_id: str, new_id: str) -> bool:
        row = IdempotencyRow
        change = (
            update(row)
            .where(row.tenant == tenant, row.key == key, row.request_id == old_id)
            .values(request_id=new_id, created_at=self._now())
        )
        async with self._database.writing() as connection:
            return (await connection.execute(change)).rowcount > 0

    async def release(self, tenant: str, key: str, request_id: str) -> None:
        row = IdempotencyRow
        gone = delete(row).where(row.tenant == tenant, row.key == key, row.request_id == request_id)
        async with self._database.writing() as connection:
            await connection.execute(gone)

    async def forget_old(self) -> int:
        gone = delete(IdempotencyRow).where(IdempotencyRow.created_at < self._now() - KEPT)
        async with self._database.writing() as connection:
            return (await connection.execute(gone)).rowcount

"""Sessions of the console in SQL, beside the accounts (port: SessionStore)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, literal, select

from penstock.database.database import Database
from penstock.gateway.adapters.accounts import CALLER
from penstock.gateway.adapters.tables import KeyRow, SessionRow
from penstock.gateway.domain.caller import Caller


class SqlSessions:
    """Sessions in the accounts database, each lasts `lasts`."""

    def __init__(
        self,
        database: Database,
        lasts: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._lasts = lasts
        self._now = now

    async def add(self, key_digest: str, digest: str) -> bool:
        row = SessionRow
        # In one statement, so that a key that is just being revoked opens nothing.
        of_the_key = select(
            literal(digest), KeyRow.id, literal(self._now() + self._lasts, row.expires_at.type)
        ).where(KeyRow.digest == key_digest, KeyRow.revoked_at.is_(None))
        added = insert(row).from_select(["digest", "key_id", "expires_at"], of_the_key)
        async with self._database.writing() as connection:
            return (await connection.execute(added)).rowcount > 0

    async def caller_of(self, digest: str) -> Caller | None:
        row = SessionRow
        query = (
            select(*CALLER)
            .join(row, row.key_id == KeyRow.id)
            .where(row.digest == digest, row.expires_at > self._now(), KeyRow.revoked_at.is_(None))
        )
        async with self._database.reading() as connection:
            found = (await connection.execute(query)).one_or_none()
        return None if found is None else Caller(*found)

    async def remove(self, digest: str) -> None:
        async with self._database.writing() as connection:
            await connection.execute(delete(SessionRow).where(SessionRow.digest == digest))

    async def forget_old(self) -> int:
        gone = delete(SessionRow).where(SessionRow.expires_at <= self._now())
        async with self._database.writing() as connection:
            return (await connection.execute(gone)).rowcount

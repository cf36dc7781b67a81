"""Tenants and keys in SQL, by SQLAlchemy; tables made and changed by Alembic (port: Accounts)."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, event, insert, inspect, make_url, select, text, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from penstock.gateway.adapters.tables import KeyRow, TenantRow
from penstock.gateway.domain.caller import Caller
from penstock.gateway.domain.keys import KeyRecord
from penstock.gateway.ports import AccountsAway
from penstock.telemetry.database import database_span

MIGRATIONS = Path(__file__).with_name("migrations")
NAMESPACE = "accounts"
VERSION = "0003"
"""The newest of the migrations."""
CALLER = (KeyRow.tenant, KeyRow.operator, KeyRow.prefix)
"""The fields of a Caller, in their order."""


class SqlAccounts:
    """Accounts in any database that SQLAlchemy's asyncio reaches; `url` names its async driver."""

    def __init__(self, url: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._url = make_url(url)
        self._now = now
        self._engine = _engine(url)

    async def open(self) -> None:
        try:
            if self._url.get_backend_name() == "sqlite" and self._url.database:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            async with self.transaction() as connection:
                await connection.run_sync(migrate)
        except OSError as error:
            raise AccountsAway(f"accounts database: {error}") from error

    async def caller_of(self, digest: str) -> Caller | None:
        query = select(*CALLER).where(KeyRow.digest == digest, KeyRow.revoked_at.is_(None))
        async with self.transaction() as connection:
            found = (await connection.execute(query)).one_or_none()
        return None if found is None else Caller(*found)

    async def is_registered(self, digest: str) -> bool:
        async with self.transaction() as connection:
            found = await connection.execute(select(KeyRow.id).where(KeyRow.digest == digest))
            return found.first() is not None

    async def register(self, tenant: str, key: KeyRecord, *, operator: bool = False) -> None:
        rows = (
            insert(TenantRow).values(name=tenant, created_at=self._now()),
            insert(KeyRow).values(
                tenant=tenant,
                digest=key.digest,
                prefix=key.prefix,
                operator=operator,
                created_at=self._now(),
            ),
        )
        for row in rows:
            try:
                async with self.transaction() as connection:
                    await connection.execute(row)
            except IntegrityError:
                # There already, or put there by another replica just now: both are what was asked for.
                continue

    async def revoke(self, digest: str) -> bool:
        change = (
            update(KeyRow)
            .where(KeyRow.digest == digest, KeyRow.revoked_at.is_(None))
            .values(revoked_at=self._now())
        )
        async with self.transaction() as connection:
            return (await connection.execute(change)).rowcount > 0

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction; raises AccountsAway, and IntegrityError as it is."""
        try:
            with database_span(self._engine.dialect.name, "transaction", namespace=NAMESPACE):
                async with self._engine.begin() as connection:
                    yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as error:
            # The error's own text may show parameters of the statement, so only its class is passed on.
            raise AccountsAway(f"accounts database: {type(error).__name__}") from error


def migrate(connection: Connection) -> None:
    """Bring the tables to this version. Raises AccountsAway if they are of a later one."""
    if _version(connection) == VERSION:
        return
    # Alembic takes half a second to import: too long for every start, and most find nothing to do.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise AccountsAway(f"the tables are of another version: {error}") from error


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _engine(url: str) -> AsyncEngine:
    engine = create_async_engine(url, pool_pre_ping=not url.startswith("sqlite"), hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: object, _entry: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # DBAPI connections have no common type
    # Readers go on while one writes; two replicas that start at once wait for each other.
    for pragma in ("journal_mode=WAL", "busy_timeout=5000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()

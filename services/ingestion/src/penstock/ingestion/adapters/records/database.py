"""The documents database: connections, transactions, and its version."""

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, event, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from penstock.ingestion.ports import RecordsAway
from penstock.telemetry.database import database_span

MIGRATIONS = Path(__file__).parents[1] / "migrations"
NAMESPACE = "documents"
VERSION = "0003"
"""The newest of the migrations."""
_READING = "penstock_reading"
_BUSY_MS = 15_000


class Database:
    """Any database that SQLAlchemy's asyncio reaches; `url` names its async driver."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._engine = _engine(url)

    async def open(self) -> None:
        """Bring the tables to this version. Raises RecordsAway."""
        if self._url.get_backend_name() == "sqlite" and self._url.database:
            try:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise RecordsAway(f"documents database: {error.strerror}") from error
        async with self.writing() as connection:
            await connection.run_sync(migrate)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """One transaction. Raises RecordsAway."""
        try:
            with self._span("write"):
                async with self._engine.begin() as connection:
                    yield connection
        except (SQLAlchemyError, OSError) as error:
            # The error's own text may show parameters of the statement, so only its class is passed on.
            raise RecordsAway(f"documents database: {type(error).__name__}") from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that changes nothing. Raises RecordsAway."""
        try:
            with self._span("read"):
                async with self._engine.connect() as connection:
                    await connection.execution_options(**{_READING: True})
                    async with connection.begin():
                        yield connection
        except (SQLAlchemyError, OSError) as error:
            raise RecordsAway(f"documents database: {type(error).__name__}") from error

    def _span(self, operation: str) -> AbstractContextManager[object]:
        return database_span(self._engine.dialect.name, operation, namespace=NAMESPACE)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def migrate(connection: Connection) -> None:
    """Bring the tables to this version. Raises RecordsAway if they are of a later one."""
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
        raise RecordsAway(f"the tables are of another version: {error}") from error


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _engine(url: str) -> AsyncEngine:
    engine = create_async_engine(url, pool_pre_ping=not url.startswith("sqlite"), hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: object, _entry: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # DBAPI connections have no common type
    cursor = connection.cursor()  # type: ignore[attr-defined]
    # Readers go on while one writes; several processes wait for each other.
    for pragma in ("journal_mode=WAL", f"busy_timeout={_BUSY_MS}", "foreign_keys=ON", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once: a transaction that reads first cannot wait for it later."""
    reading = connection.get_execution_options().get(_READING)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

"""Changing a database's tables: up, down, one at a time whoever else does it, all of it or nothing."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.database.engine import READING, file_of, is_sqlite, open_engine
from penstock.database.errors import FAILURES, SchemaError, reason_of
from penstock.database.schema import Found, Schema, Standing, check_schema

if TYPE_CHECKING:
    from alembic.config import Config

ENVIRONMENT = Path(__file__).with_name("environment")
BASE = "base"
"""Alembic's name for a database without tables."""
HEAD = "head"
"""And for one that has all migrations."""
_LOCK_TIMEOUT = "10s"
_IN_USE = "LockNotAvailableError"


class Moved(NamedTuple):
    """Revisions of a database before and after; None is a database without tables."""

    before: str | None
    after: str | None


async def current(url: URL, schema: Schema) -> Found:
    """Look at a database, without changing or making it. Raises SchemaError."""
    file = file_of(url)
    if file is not None and not file.exists():
        return Found(None, Standing.BEHIND)
    async with _connection(url, reading=True) as connection:
        return await connection.run_sync(check_schema, schema)


async def upgrade(
    url: URL, schema: Schema, revision: str = HEAD, waits: Callable[[], None] = lambda: None
) -> Moved:
    """Bring a database to a revision, or leave it if it is there or later.

    `waits` is called when another process is at it. Raises SchemaError.
    """
    wanted = _known(schema, revision)
    async with _changing(url, schema, waits) as connection:
        found = _usable(await connection.run_sync(check_schema, schema))
        if found.standing is Standing.AHEAD or (found.revision or "") >= wanted:
            return Moved(found.revision, found.revision)
        await connection.run_sync(_run, schema, wanted, down=False)
        return Moved(found.revision, wanted)


async def downgrade(
    url: URL, schema: Schema, revision: str, waits: Callable[[], None] = lambda: None
) -> Moved:
    """Bring a database back to an earlier revision, or to "base": without tables. Raises SchemaError."""
    wanted = None if revision == BASE else _known(schema, revision)
    async with _changing(url, schema, waits) as connection:
        found = _usable(await connection.run_sync(check_schema, schema))
        if found.standing is Standing.AHEAD:
            raise SchemaError(
                f"it is of revision {found.revision}, which this version does not know:"
                " only the version that brought it there can take it back"
            )
        if (found.revision or "") < (wanted or ""):
            raise SchemaError(f"it is of revision {found.revision or 'none'}, which is before {revision}")
        if found.revision != wanted:
            await connection.run_sync(_run, schema, revision, down=True)
        return Moved(found.revision, wanted)


def _known(schema: Schema, revision: str) -> str:
    if revision in (HEAD, schema.head):
        return schema.head
    if revision not in schema.revisions:
        raise SchemaError(f"there is no revision {revision}; there are {', '.join(schema.revisions)}")
    return revision


def _usable(found: Found) -> Found:
    if found.problem:
        raise SchemaError(found.problem)
    return found


@asynccontextmanager
async def _changing(url: URL, schema: Schema, waits: Callable[[], None]) -> AsyncIterator[AsyncConnection]:
    """One transaction, alone: SQLite's BEGIN IMMEDIATE waits by itself, PostgreSQL has locks for it."""
    if file := file_of(url):
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SchemaError(f"its folder cannot be made: {error.strerror}") from error
    async with _connection(url, reading=False) as connection:
        if not is_sqlite(url):
            await _lock(connection, schema, waits)
        yield connection


async def _lock(connection: AsyncConnection, schema: Schema, waits: Callable[[], None]) -> None:
    """Hold the lock of this schema's migrations until the transaction ends, however it does."""
    key = {"key": crc32(f"penstock {schema.name} migrations".encode())}
    tried = await connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), key)
    if not tried.scalar():
        waits()
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), key)
    # A change of a table waits for those who use it, and all others wait behind it: better to give up.
    await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))


@asynccontextmanager
async def _connection(url: URL, *, reading: bool) -> AsyncIterator[AsyncConnection]:
    engine = open_engine(url, foreign_keys=reading)
    try:
        async with engine.connect() as connection:
            await connection.execution_options(**{READING: reading})
            async with connection.begin():
                yield connection
    except FAILURES as error:
        raise SchemaError(f"it cannot be reached or used ({reason_of(error)})") from error
    finally:
        await engine.dispose()


def _run(connection: Connection, schema: Schema, revision: str, *, down: bool) -> None:
    # Alembic takes half a second to import: too long for every start, and most find nothing to do.
    from alembic import command
    from alembic.util import CommandError

    config = _config(connection, schema)
    try:
        (command.downgrade if down else command.upgrade)(config, revision)
    except CommandError as error:
        raise SchemaError(str(error)) from error
    except SQLAlchemyError as error:
        if (reason := reason_of(error)) == _IN_USE:
            told = f"a table was in use for {_LOCK_TIMEOUT}: try again"
        else:
            told = f"{reason}: {getattr(error, 'orig', error)}".splitlines()[0]  # what follows may show rows
        raise SchemaError(f"the migration failed and nothing was changed: {told}") from error
    if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise SchemaError("rows would refer to rows that are gone; nothing was changed")


def _config(connection: Connection, schema: Schema) -> "Config":
    import logging

    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    # A % would begin an interpolation in a configuration file.
    config.set_main_option("script_location", str(ENVIRONMENT).replace("%", "%%"))
    config.set_main_option("version_locations", str(schema.migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    return config

"""One open database: transactions to read and to write in, and whether its tables are those of the code."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext

import structlog
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.database.engine import READING, file_of, is_sqlite, open_engine, parse_url
from penstock.database.errors import FAILURES, SchemaError, reason_of
from penstock.database.migrate import upgrade
from penstock.database.schema import Found, Schema, Standing, check_schema
from penstock.telemetry.database import database_span

log = structlog.get_logger(__name__)


class Database:
    """A database of one schema; `away` makes the error that its service knows. Nothing is connected yet."""

    def __init__(self, url: str, schema: Schema, away: Callable[[str], Exception]) -> None:
        self._url = parse_url(url)
        self._schema = schema
        self._away = away
        self._engine = open_engine(self._url)
        self._turn = _turn_to_write(self._url)

    async def open(self) -> None:
        """See that the tables can be used; raises `away` while they cannot.

        SQLite's are brought to this version, since nobody else can. Any other database is changed by
        nothing but the schema's command; one that a newer version has changed is used as long as it fits.
        """
        try:
            found = await self._found()
        except SchemaError as error:
            raise self._away(f"{self._schema.name} database: {error}") from error
        if found.problem:
            raise self._away(f"{self._schema.name} database: {found.problem}")
        if found.standing is Standing.BEHIND:
            raise self._away(
                f"the {self._schema.name} database is of revision {found.revision or 'none'}, this version"
                f" needs {self._schema.head}: run `{self._schema.command} upgrade`"
            )
        if found.standing is Standing.AHEAD:
            log.warning(
                "database_ahead",
                database=self._schema.name,
                revision=found.revision,
                known=self._schema.head,
                reason="a newer version has migrated it; it still fits this one",
            )

    async def _found(self) -> Found:
        file = file_of(self._url)
        if file is not None and not file.exists():
            await upgrade(self._url, self._schema)
        async with self.reading() as connection:
            found = await connection.run_sync(check_schema, self._schema)
        if found.standing is Standing.BEHIND and is_sqlite(self._url):
            moved = await upgrade(self._url, self._schema)
            return Found(moved.after, self._schema.standing(moved.after))
        return found

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """One transaction. Raises `away`."""
        try:
            with self._span("write"):
                async with self._turn, self._engine.begin() as connection:
                    yield connection
        except FAILURES as error:
            raise self._gone(error) from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that changes nothing. Raises `away`."""
        try:
            with self._span("read"):
                async with self._engine.connect() as connection:
                    await connection.execution_options(**{READING: True})
                    async with connection.begin():
                        yield connection
        except FAILURES as error:
            raise self._gone(error) from error

    def _gone(self, error: BaseException) -> Exception:
        return self._away(f"{self._schema.name} database: {reason_of(error)}")

    def _span(self, operation: str) -> AbstractContextManager[object]:
        return database_span(self._engine.dialect.name, operation, namespace=self._schema.name)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _turn_to_write(url: URL) -> AbstractAsyncContextManager[object]:
    """Return what each transaction that writes holds.

    SQLite lets one write at a time. Those that wait look again now and then, in no order
    (sqlite.org/c3ref/busy_timeout.html), and of many some wait for so long that they fail. So only one of
    ours waits there.
    """
    return asyncio.Lock() if is_sqlite(url) else nullcontext()

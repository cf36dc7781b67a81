"""Migrations of any schema tried step by step, with rows in the tables: up, down, and up again."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from penstock.database.engine import open_engine, parse_url
from penstock.database.migrate import BASE, Moved, downgrade, upgrade
from penstock.database.schema import VERSION_TABLE, Schema, misfits

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by the names of their tables."""
Key = tuple[Any, ...]


async def climb(
    url: str,
    schema: Schema,
    rows: Mapping[str, Rows],
    rewritten: Mapping[str, Collection[str]] | None = None,
    contracting: Collection[str] = (),
) -> None:
    """Take an empty database through every revision: up, one down, one up, and at the end all the way down.

    `rows` are what is put in when a revision is reached first. All that has a place in the revision before
    must still be there after each step; `rewritten` names the columns that a migration changes. The code of
    the revision before must be able to work with each, but for `contracting` ones, which remove what no
    version uses any more (ADR 12).
    """
    assert set(rows) == set(schema.revisions), "every revision brings some rows"
    address, engine = parse_url(url), open_engine(parse_url(url))
    ignored = rewritten or {}
    try:
        before = await _rows(engine)
        last: str | None = None
        for revision in schema.revisions:
            tables = await _tables(engine)
            assert await upgrade(address, schema, revision) == Moved(last, revision)
            _assert_survived(before, await _rows(engine), ignored)
            if revision not in contracting:
                assert await _misfits(engine, tables) == [], (
                    "a version must work with the revision after its own"
                )
            await _put(engine, rows[revision])
            full = await _rows(engine)
            assert await downgrade(address, schema, last or BASE) == Moved(revision, last)
            below = await _rows(engine)
            _assert_same_places(before, below)
            _assert_survived(full, below, ignored)
            assert await upgrade(address, schema, revision) == Moved(last, revision)
            _assert_survived(below, await _rows(engine), ignored)
            await _put(engine, rows[revision])
            before, last = await _rows(engine), revision
        assert all(before.values()), f"no rows in some of {sorted(before)}"
        assert await downgrade(address, schema, BASE) == Moved(last, None)
        assert await _rows(engine) == {}
        assert await upgrade(address, schema) == Moved(None, schema.head)
    finally:
        await engine.dispose()


async def differences(url: str, schema: Schema) -> list[Any]:
    """Migrate a database to the head and return what Alembic would still change to have the code's tables."""
    scripts = ScriptDirectory(str(schema.migrations), version_locations=[str(schema.migrations)])
    known = tuple(script.revision for script in reversed(list(scripts.walk_revisions())))
    assert known == schema.revisions, "files are named for their revisions"
    address = parse_url(url)
    await upgrade(address, schema)
    engine = open_engine(address)

    def compare(connection: Connection) -> list[Any]:
        # Alembic takes SQLite's '' for another default than "".
        options = {"compare_type": True, "compare_server_default": connection.dialect.name != "sqlite"}
        context = MigrationContext.configure(connection, opts=options)
        found: list[Any] = compare_metadata(context, schema.metadata)
        return found

    try:
        async with engine.connect() as connection:
            return await connection.run_sync(compare)
    finally:
        await engine.dispose()


async def _tables(engine: AsyncEngine) -> MetaData:
    there = MetaData()
    async with engine.begin() as connection:
        await connection.run_sync(there.reflect)
    return there


async def _misfits(engine: AsyncEngine, tables: MetaData) -> list[str]:
    async with engine.begin() as connection:
        return await connection.run_sync(lambda connected: list(misfits(tables, connected)))


async def _put(engine: AsyncEngine, rows: Rows) -> None:
    def put(connection: Connection) -> None:
        there = MetaData()
        there.reflect(connection)
        dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
        for name, given in rows.items():
            for row in given:
                connection.execute(dialect.insert(there.tables[name]).values(row).on_conflict_do_nothing())

    async with engine.begin() as connection:
        await connection.run_sync(put)


async def _rows(engine: AsyncEngine) -> dict[str, dict[Key, dict[str, Any]]]:
    """All rows of all tables, by their primary keys."""

    def read(connection: Connection) -> dict[str, dict[Key, dict[str, Any]]]:
        there = MetaData()
        there.reflect(connection)
        return {
            name: {
                tuple(row._mapping[column.name] for column in table.primary_key): dict(row._mapping)
                for row in connection.execute(table.select())
            }
            for name, table in there.tables.items()
            if name != VERSION_TABLE
        }

    async with engine.begin() as connection:
        return await connection.run_sync(read)


def _assert_same_places(
    before: Mapping[str, Mapping[Key, Mapping[str, Any]]],
    after: Mapping[str, Mapping[Key, Mapping[str, Any]]],
) -> None:
    assert set(before) == set(after)
    for table, rows in before.items():
        for key, row in rows.items():
            assert set(row) == set(after[table][key]), table


def _assert_survived(
    before: Mapping[str, Mapping[Key, Mapping[str, Any]]],
    after: Mapping[str, Mapping[Key, Mapping[str, Any]]],
    ignored: Mapping[str, Collection[str]],
) -> None:
    """Of the tables and columns that there are in both."""
    for table in set(before) & set(after):
        for key, row in before[table].items():
            assert key in after[table], f"{table} has lost {key}"
            now = after[table][key]
            for column in set(row) & set(now) - set(ignored.get(table, ())):
                assert now[column] == row[column], f"{table}.{column} of {key}"

"""Opening a database: migrated by its service only if it is SQLite's, used as long as it fits."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from structlog.testing import capture_logs

from libs.database.tests.conftest import MakeSchema
from libs.database.tests.servers import POSTGRES
from libs.database.tests.test_migrate import execute
from penstock.database.database import Database
from penstock.database.engine import check_url, parse_url, shown
from penstock.database.migrate import current, upgrade
from penstock.database.schema import Schema
from penstock.database.statements import insert_unless_there


class Away(Exception):
    pass


@pytest.fixture
def open_database(database_url: str) -> Any:
    async def opened(schema: Schema) -> list[str]:
        """Open it, use it and close it; returns the warnings' events."""
        database = Database(database_url, schema, Away)
        try:
            with capture_logs() as logs:
                await database.open()
            things = schema.metadata.tables["things"]
            async with database.writing() as connection:
                await connection.execute(insert_unless_there(connection, things, id=1, name="a"))
            async with database.reading() as connection:
                assert (await connection.execute(things.select())).all() == [(1, "a")]
        finally:
            await database.close()
        return [entry["event"] for entry in logs]

    return opened


async def test_sqlite_is_migrated_by_its_service_and_others_are_waited_for(
    open_database: Any, database_url: str, make_schema: MakeSchema
) -> None:
    schema, url = make_schema(), parse_url(database_url)
    if url.get_backend_name() == "sqlite":
        await upgrade(url, schema, "0002")
        assert await open_database(schema) == []
        assert (await current(url, schema)).revision == "0003"
        return
    for before in ("none", "0002"):
        if before != "none":
            await upgrade(url, schema, before)
        with pytest.raises(Away, match=f"of revision {before}.*needs 0003: run `penstock-things-db upgrade`"):
            await open_database(schema)
        assert (await current(url, schema)).revision == (None if before == "none" else before)
    await upgrade(url, schema)
    assert await open_database(schema) == []


async def test_a_newer_database_is_used_with_a_warning_while_it_fits(
    open_database: Any, database_url: str, make_schema: MakeSchema
) -> None:
    await upgrade(parse_url(database_url), make_schema())
    older = make_schema(newest="0002")
    assert await open_database(older) == ["database_ahead"]
    await execute(
        database_url,
        "ALTER TABLE things ADD COLUMN colour VARCHAR(10)",
        "ALTER TABLE things ADD COLUMN weight INTEGER NOT NULL DEFAULT 0",
    )
    assert await open_database(older) == ["database_ahead"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE things RENAME COLUMN name TO title", "has no things.name any more"),
        ("DROP TABLE parts", "has no parts.id any more"),
    ],
)
async def test_a_newer_database_that_fits_no_more_is_refused(
    open_database: Any, database_url: str, make_schema: MakeSchema, change: str, told: str
) -> None:
    await upgrade(parse_url(database_url), make_schema())
    await execute(database_url, change)
    with pytest.raises(Away, match=f"is of revision 0003, and {told}: use a newer version"):
        await open_database(make_schema(newest="0002"))


async def test_a_column_that_must_be_filled_is_refused(
    open_database: Any, database_url: str, make_schema: MakeSchema
) -> None:
    await upgrade(parse_url(database_url), make_schema())
    await execute(
        database_url,
        "DROP TABLE parts",
        "CREATE TABLE parts (id INTEGER PRIMARY KEY, thing INTEGER NOT NULL, size INTEGER NOT NULL)",
    )
    with pytest.raises(Away, match=r"parts\.size is new and has no default"):
        await open_database(make_schema(newest="0002"))


async def test_a_service_that_runs_goes_on_while_its_database_is_migrated(
    database_url: str, make_schema: MakeSchema
) -> None:
    older, newer = make_schema(newest="0002"), make_schema()
    await upgrade(parse_url(database_url), older)
    database = Database(database_url, older, Away)
    await database.open()
    things, migrating = older.metadata.tables["things"], False

    async def use() -> int:
        uses = 0
        while not migrating or uses < 20:
            uses += 1
            async with database.writing() as connection:
                await connection.execute(insert_unless_there(connection, things, id=uses, name="a"))
            async with database.reading() as connection:
                assert len((await connection.execute(things.select())).all()) == uses
            await asyncio.sleep(0.005)
        return uses

    using = asyncio.create_task(use())
    await asyncio.sleep(0.1)
    await upgrade(parse_url(database_url), newer)
    migrating = True
    assert await using >= 20
    await database.close()


async def test_of_many_that_write_at_once_all_come_to_their_turn(
    database_url: str, make_schema: MakeSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together they take far longer than one waits for the lock of the file."""
    monkeypatch.setattr("penstock.database.engine._BUSY_MS", 50)
    schema = make_schema()
    await upgrade(parse_url(database_url), schema)
    database = Database(database_url, schema, Away)
    things = schema.metadata.tables["things"]

    async def write(number: int) -> None:
        async with database.writing() as connection:
            await connection.execute(insert_unless_there(connection, things, id=number, name="a"))
            await asyncio.sleep(0.02)

    await asyncio.gather(*(write(number) for number in range(30)))
    async with database.reading() as connection:
        assert len((await connection.execute(things.select())).all()) == 30
    await database.close()


async def test_a_database_that_is_away_is_told_by_the_services_own_error(
    schema: Schema, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    urls = [f"sqlite:///{tmp_path}/file/x.db", "postgresql://me:hidden@127.0.0.1:1/x"]
    for url in urls:
        database = Database(url, schema, Away)
        with pytest.raises(Away, match="things database: ") as raised:
            await database.open()
        assert "hidden" not in str(raised.value)
        with pytest.raises(Away, match="things database: "):
            async with database.writing() as connection:
                await connection.execute(text("SELECT 1"))
        await database.close()


@pytest.mark.skipif(POSTGRES is None, reason="PostgreSQL is not installed")
async def test_a_wrong_user_and_a_database_that_is_not_there_are_told(postgres: str, schema: Schema) -> None:
    server = make_url(postgres)
    for url, reason in (
        (server.set(database="nobody_made_it"), "InvalidCatalogNameError"),
        (server.set(database="postgres", username="stranger"), "InvalidAuthorizationSpecificationError"),
    ):
        database = Database(url.render_as_string(hide_password=False), schema, Away)
        with pytest.raises(Away, match=reason):
            await database.open()
        await database.close()


def test_addresses_take_the_driver_that_there_is() -> None:
    for given, made in (
        ("sqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db"),
        ("postgres://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgresql://u@h/d?sslmode=require", "postgresql+asyncpg://u@h/d?ssl=require"),
        ("postgresql+asyncpg://u@h/d?ssl=require", "postgresql+asyncpg://u@h/d?ssl=require"),
    ):
        assert str(parse_url(given)) == made
    assert check_url("") == ""
    assert shown(parse_url("postgres://u:hidden@h/d")) == "postgresql://u:***@h/d"
    for wrong in (
        "no address",
        "mysql://u:hidden@h/d",
        "postgresql+psycopg2://u:hidden@h/d",
        "postgres://u@h:x/d",
    ):
        with pytest.raises(ValueError, match="for example postgresql") as raised:
            parse_url(wrong)
        assert "hidden" not in str(raised.value)

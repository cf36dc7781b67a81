"""Migrations: up, down, all or nothing, one process at a time."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from libs.database.tests.conftest import MakeSchema
from libs.database.tests.stairs import Rows, climb, differences
from penstock.database.database import Database
from penstock.database.engine import open_engine, parse_url
from penstock.database.errors import SchemaError
from penstock.database.migrate import BASE, Moved, current, downgrade, upgrade
from penstock.database.schema import Schema, Standing

ROWS: dict[str, Rows] = {
    "0001": {"things": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]},
    "0002": {"parts": [{"id": 1, "thing": 1}, {"id": 2, "thing": 2}]},
    "0003": {"things": [{"id": 3, "name": "c"}]},
}


async def execute(url: str, *statements: str) -> None:
    engine = open_engine(parse_url(url))
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def test_every_step_keeps_what_there_is(database_url: str, schema: Schema) -> None:
    await climb(database_url, schema, ROWS)
    assert await differences(database_url, schema) == []


async def test_a_step_that_loses_rows_is_noticed(database_url: str, schema: Schema) -> None:
    [file] = schema.migrations.glob("0003*")
    code = file.read_text()
    file.write_text(
        code.replace("def upgrade() -> None:", "def upgrade() -> None:\n    op.execute('DELETE FROM parts')")
    )
    with pytest.raises(AssertionError, match="parts has lost"):
        await climb(database_url, schema, ROWS)


async def test_a_step_that_the_version_before_cannot_work_with_is_noticed(
    database_url: str, schema: Schema
) -> None:
    [file] = schema.migrations.glob("0003*")
    rename = 't.alter_column("name", new_column_name="title"'
    file.write_text(file.read_text().replace('t.alter_column("name", type_=sa.String(80)', rename))
    with pytest.raises(AssertionError, match=r"must work with the revision after its own"):
        await climb(database_url, schema, ROWS)


async def test_a_database_that_is_there_is_left_alone(database_url: str, schema: Schema) -> None:
    url = parse_url(database_url)
    assert (await current(url, schema))[:2] == (None, Standing.BEHIND)
    assert await upgrade(url, schema) == Moved(None, "0003")
    assert await upgrade(url, schema) == Moved("0003", "0003")
    assert await upgrade(url, schema, "0001") == Moved("0003", "0003")
    assert (await current(url, schema))[:2] == ("0003", Standing.HEAD)
    assert await downgrade(url, schema, "0003") == Moved("0003", "0003")
    assert await downgrade(url, schema, BASE) == Moved("0003", None)
    with pytest.raises(SchemaError, match="before 0002"):
        await downgrade(url, schema, "0002")


async def test_a_step_that_fails_changes_nothing(database_url: str, schema: Schema) -> None:
    [file] = schema.migrations.glob("0003*")
    file.write_text(
        file.read_text().replace("def downgrade", "    op.execute('SELECT nothing')\ndef downgrade")
    )
    url = parse_url(database_url)
    with pytest.raises(SchemaError, match=r"failed and nothing was changed: .*nothing"):
        await upgrade(url, schema)
    assert (await current(url, schema)).revision is None
    assert await upgrade(url, schema, "0002") == Moved(None, "0002")  # no table was left half made


async def test_of_many_at_once_one_migrates_and_all_find_it_done(
    database_url: str, make_schema: MakeSchema
) -> None:
    schema, url = make_schema(pause=0.5), parse_url(database_url)
    waited = []
    moves = await asyncio.gather(*(upgrade(url, schema, waits=lambda: waited.append(1)) for _ in range(4)))
    assert sorted(moves, key=str) == [*[Moved("0003", "0003")] * 3, Moved(None, "0003")]
    if url.get_backend_name() == "postgresql":
        assert len(waited) == 3


async def test_what_is_asked_for_must_be_there(database_url: str, schema: Schema) -> None:
    for change in (upgrade, downgrade):
        with pytest.raises(SchemaError, match="there are 0001, 0002, 0003"):
            await change(parse_url(database_url), schema, "0007")


async def test_a_database_of_something_else_is_not_touched(database_url: str, schema: Schema) -> None:
    await execute(
        database_url,
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('0002')",
        "CREATE TABLE songs (id INTEGER)",
    )
    url = parse_url(database_url)
    for change in (upgrade(url, schema), downgrade(url, schema, "0001")):
        with pytest.raises(SchemaError, match="a database of its own"):
            await change
    database = Database(database_url, schema, LookupError)
    with pytest.raises(LookupError, match="a database of its own"):
        await database.open()
    await database.close()


async def test_a_newer_database_is_not_taken_back_by_an_older_version(
    database_url: str, make_schema: MakeSchema
) -> None:
    newer, older, url = make_schema(), make_schema(newest="0002"), parse_url(database_url)
    await upgrade(url, newer)
    assert await upgrade(url, older) == Moved("0003", "0003")
    with pytest.raises(SchemaError, match="which this version does not know"):
        await downgrade(url, older, "0001")


async def test_looking_makes_nothing(tmp_path: Path, schema: Schema) -> None:
    url = parse_url(f"sqlite:///{tmp_path}/deep/x.db")
    assert (await current(url, schema)).revision is None
    assert not (tmp_path / "deep").exists()
    await upgrade(url, schema)
    assert (tmp_path / "deep").stat().st_mode & 0o077 == 0


async def test_a_table_in_use_is_not_waited_for_for_ever(
    database_url: str, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database_url.startswith("sqlite"):
        return  # there one writes at a time anyway
    monkeypatch.setattr("penstock.database.migrate._LOCK_TIMEOUT", "100ms")
    url = parse_url(database_url)
    await upgrade(url, schema, "0002")
    engine = open_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("LOCK TABLE things"))
        with pytest.raises(SchemaError, match="a table was in use for 100ms: try again"):
            await upgrade(url, schema)
    await engine.dispose()
    assert await upgrade(url, schema) == Moved("0002", "0003")

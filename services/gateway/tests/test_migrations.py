"""Tables of an installation that has keys already, brought to this version and back, on both databases."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, DateTime, column, inspect, table, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from penstock.gateway.adapters.accounts import MIGRATIONS, VERSION, SqlAccounts, migrate
from penstock.gateway.adapters.sessions import SqlSessions
from penstock.gateway.adapters.tables import Base
from penstock.gateway.domain.caller import Caller

KEYS = {"default": "d" * 64, "acme": "a" * 64}


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    opened = create_async_engine(database_url)
    yield opened
    await opened.dispose()


def run(connection: Connection, step: Callable[[Config, str], None], revision: str) -> None:
    """Run Alembic over a connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    step(config, revision)


def add_old_keys(connection: Connection) -> None:
    """Add what a gateway of version 0002 would have."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    tenants = table("tenants", column("name"), column("created_at", DateTime(timezone=True)))
    fields = [column(name) for name in ("tenant", "digest", "prefix")]
    api_keys = table("api_keys", *fields, column("created_at", DateTime(timezone=True)))
    for tenant, digest in KEYS.items():
        connection.execute(tenants.insert().values(name=tenant, created_at=now))
        key = {"tenant": tenant, "digest": digest, "prefix": "psk-abc", "created_at": now}
        connection.execute(api_keys.insert().values(key))


async def test_keys_of_before_stay_and_the_first_ones_are_operators(
    engine: AsyncEngine, database_url: str
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(run, command.upgrade, "0002")
        await connection.run_sync(add_old_keys)
    accounts = SqlAccounts(database_url)
    for _ in range(2):  # there, back, and there again
        await accounts.open()
        assert await accounts.caller_of(KEYS["default"]) == Caller("default", True, "psk-abc")
        assert await accounts.caller_of(KEYS["acme"]) == Caller("acme", False, "psk-abc")
        sessions = SqlSessions(accounts.transaction, timedelta(hours=1))
        assert await sessions.add(KEYS["acme"], "token")
        assert await sessions.caller_of("token") == Caller("acme", False, "psk-abc")
        async with engine.begin() as connection:
            await connection.run_sync(run, command.downgrade, "0002")
            found = await connection.execute(text("select tenant, digest, prefix from api_keys order by id"))
            assert [tuple(row) for row in found] == [(name, key, "psk-abc") for name, key in KEYS.items()]
            columns = await connection.run_sync(lambda c: inspect(c).get_columns("api_keys"))
            assert "operator" not in {each["name"] for each in columns}
            tables = await connection.run_sync(lambda c: set(inspect(c).get_table_names()))
            assert tables == {"alembic_version", "api_keys", "idempotency_keys", "tenants"}
    await accounts.close()


async def test_the_tables_are_those_of_the_code(engine: AsyncEngine) -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == VERSION
    async with engine.begin() as connection:
        await connection.run_sync(migrate)
        await connection.run_sync(migrate)
        differences = await connection.run_sync(
            lambda c: compare_metadata(MigrationContext.configure(c), Base.metadata)
        )
        assert differences == []


async def test_everything_goes_again(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(migrate)
        await connection.run_sync(run, command.downgrade, "base")
        tables = await connection.run_sync(lambda c: set(inspect(c).get_table_names()))
        assert tables == {"alembic_version"}

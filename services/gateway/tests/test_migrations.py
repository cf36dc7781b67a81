"""Migrations of the accounts database: each up, down and up again, and what they do with keys of before."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import DateTime, column, table

from libs.database.tests.stairs import climb, differences
from penstock.database.database import Database
from penstock.database.engine import parse_url
from penstock.database.migrate import downgrade, upgrade
from penstock.gateway.adapters.accounts import SqlAccounts
from penstock.gateway.adapters.sessions import SqlSessions
from penstock.gateway.adapters.tables import SCHEMA
from penstock.gateway.domain.caller import Caller
from penstock.gateway.ports import AccountsAway

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = {"default": "d" * 64, "acme": "a" * 64}
KEY = {"prefix": "psk-abc", "created_at": NOW}
ROWS = {
    "0001": {
        "tenants": [{"name": name, "created_at": NOW} for name in KEYS],
        "api_keys": [
            {"id": 1, "tenant": "default", "digest": "d" * 64, **KEY},
            {"id": 2, "tenant": "acme", "digest": "a" * 64, "revoked_at": NOW, **KEY},
        ],
    },
    "0002": {
        "idempotency_keys": [
            {"tenant": "acme", "key": "k", "fingerprint": "f", "request_id": "r", "created_at": NOW}
        ]
    },
    "0003": {"console_sessions": [{"digest": "s", "key_id": 1, "expires_at": NOW}]},
}


async def test_every_revision_keeps_what_there_is(database_url: str) -> None:
    await climb(database_url, SCHEMA, ROWS)


async def test_the_tables_are_those_of_the_code(database_url: str) -> None:
    assert await differences(database_url, SCHEMA) == []


async def test_keys_of_before_stay_and_the_first_ones_are_operators(database_url: str) -> None:
    url = parse_url(database_url)
    await upgrade(url, SCHEMA, "0002")
    database = Database(database_url, SCHEMA, AccountsAway)
    tenants = table("tenants", column("name"), column("created_at", DateTime(timezone=True)))
    fields = [column(name) for name in ("tenant", "digest", "prefix")]
    api_keys = table("api_keys", *fields, column("created_at", DateTime(timezone=True)))
    async with database.writing() as connection:
        for tenant, digest in KEYS.items():
            await connection.execute(tenants.insert().values(name=tenant, created_at=NOW))
            await connection.execute(api_keys.insert().values(tenant=tenant, digest=digest, **KEY))
    accounts, sessions = SqlAccounts(database), SqlSessions(database, timedelta(hours=1))
    for _ in range(2):  # there, back, and there again
        await upgrade(url, SCHEMA)
        await accounts.open()
        assert await accounts.caller_of(KEYS["default"]) == Caller("default", True, "psk-abc")
        assert await accounts.caller_of(KEYS["acme"]) == Caller("acme", False, "psk-abc")
        assert await sessions.add(KEYS["acme"], "token")
        assert await sessions.caller_of("token") == Caller("acme", False, "psk-abc")
        await downgrade(url, SCHEMA, "0002")
    await database.close()

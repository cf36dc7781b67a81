"""Keys: hashed in the database, in a file of their own, revoked for good; the first one whatever was lost."""

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from penstock.database.database import Database
from penstock.gateway.access import Access, FirstKey, provide_first_key
from penstock.gateway.adapters.accounts import SqlAccounts
from penstock.gateway.adapters.keyfile import KeyFile
from penstock.gateway.adapters.tables import SCHEMA
from penstock.gateway.domain import keys
from penstock.gateway.domain.caller import Caller
from penstock.gateway.ports import Accounts, AccountsAway, UnusableKey


@pytest.fixture
async def accounts(database: Database) -> SqlAccounts:
    opened = SqlAccounts(database)
    await opened.open()
    return opened


@pytest.fixture
def store(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "state" / "api-key")


def digest(key: str) -> str:
    return keys.digest_of(key)


async def test_first_start_makes_a_key(accounts: Accounts, store: KeyFile, database: Database) -> None:
    outcome, key = await provide_first_key(accounts, store)
    assert outcome is FirstKey.MADE
    assert store.path.read_text() == f"{key}\n"
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert [path.name for path in store.path.parent.iterdir()] == ["api-key"]
    assert await accounts.caller_of(digest(key)) == Caller("default", True, key[:10])
    async with database.reading() as connection:
        tables = [await connection.execute(table.select()) for table in SCHEMA.metadata.sorted_tables]
    kept = str([rows.all() for rows in tables])
    assert key not in kept
    assert digest(key) in kept
    assert key[:10] in kept
    assert await provide_first_key(accounts, store) == (FirstKey.KNOWN, key)


async def test_a_new_database_takes_the_key_of_the_file(accounts: Accounts, store: KeyFile) -> None:
    key = keys.new_key()
    store.keep(key)
    assert await provide_first_key(accounts, store) == (FirstKey.REGISTERED, key)
    assert await accounts.caller_of(digest(key)) == Caller("default", True, key[:10])


async def test_a_lost_file_gets_a_new_key(accounts: Accounts, store: KeyFile) -> None:
    _, old = await provide_first_key(accounts, store)
    store.path.unlink()
    outcome, new = await provide_first_key(accounts, store)
    assert outcome is FirstKey.MADE
    assert new != old
    assert await accounts.caller_of(digest(new)) == Caller("default", True, new[:10])
    assert await accounts.caller_of(digest(old)) == Caller("default", True, old[:10])


async def test_a_revoked_key_stays_revoked(accounts: Accounts, store: KeyFile) -> None:
    _, key = await provide_first_key(accounts, store)
    assert await accounts.revoke(digest(key))
    assert not await accounts.revoke(digest(key))
    assert await accounts.caller_of(digest(key)) is None
    assert await provide_first_key(accounts, store) == (FirstKey.KNOWN, key)
    assert await accounts.caller_of(digest(key)) is None


async def test_of_two_starts_at_once_one_makes_the_key(
    accounts: Accounts, store: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = keys.new_key()
    KeyFile(store.path).keep(other)
    with monkeypatch.context() as patched:
        patched.setattr(store, "read", iter([None, other]).__next__)
        outcome, key = await provide_first_key(accounts, store)
    assert (outcome, key) == (FirstKey.REGISTERED, other)
    assert store.path.read_text() == f"{other}\n"


async def test_a_file_that_is_no_key_is_left_alone(accounts: Accounts, store: KeyFile) -> None:
    store.path.parent.mkdir()
    store.path.write_text("my shopping list\n")
    with pytest.raises(UnusableKey, match="Delete it"):
        await provide_first_key(accounts, store)
    assert store.path.read_text() == "my shopping list\n"


async def test_a_file_open_to_all_is_closed(store: KeyFile) -> None:
    key = keys.new_key()
    store.keep(key)
    store.path.chmod(0o644)
    assert store.read() == key
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


async def test_keys_are_remembered_for_a_short_time(accounts: Accounts) -> None:
    now = 0.0
    access = Access(accounts, lambda: now, ttl_s=10)
    key, stranger = keys.new_key(), keys.new_key()
    await accounts.register("acme", keys.record_of(key))
    assert await access.caller_of(key) == Caller("acme", False, key[:10])
    assert await access.caller_of(stranger) is None
    await accounts.revoke(digest(key))
    await accounts.register("late", keys.record_of(stranger), operator=True)
    now = 9.9
    assert await access.caller_of(key) == Caller("acme", False, key[:10])
    assert await access.caller_of(stranger) is None
    now = 10.1
    assert await access.caller_of(key) is None
    assert await access.caller_of(stranger) == Caller("late", True, stranger[:10])


async def test_guessing_evicts_no_real_key() -> None:
    class Counting:
        asked = 0
        real = digest("psk-" + "a" * 43)

        async def caller_of(self, wanted: str) -> Caller | None:
            self.asked += 1
            return Caller("acme") if wanted == self.real else None

    counting: Any = Counting()
    access = Access(counting, lambda: 0.0, size=2)
    assert await access.caller_of("psk-" + "a" * 43) == Caller("acme")
    for _ in range(5):
        assert await access.caller_of(keys.new_key()) is None
    asked = counting.asked
    assert await access.caller_of("psk-" + "a" * 43) == Caller("acme")
    assert await access.caller_of("not even a key") is None
    assert counting.asked == asked


async def test_a_database_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    away = SqlAccounts(Database(f"sqlite+aiosqlite:///{tmp_path}/file/accounts.db", SCHEMA, AccountsAway))
    with pytest.raises(AccountsAway):
        await away.open()
    key = keys.new_key()
    with pytest.raises(AccountsAway) as raised:
        await away.register("acme", keys.record_of(key))
    assert digest(key) not in str(raised.value)
    await away.close()


async def test_the_first_key_is_announced_once(start_stand: Any, tmp_path: Path) -> None:
    first = await start_stand()
    assert first.announced == [first.key]
    second = await start_stand()
    assert second.announced == []
    assert (await second.client.get(f"{second.url}/v1/models", headers=first.auth)).status_code == 200
    assert (tmp_path / "gateway" / "accounts.db").exists()


async def test_a_revoked_key_opens_nothing(start_stand: Any) -> None:
    stand = await start_stand(key_cache_s=0.01)
    assert (await stand.client.get(f"{stand.url}/v1/models", headers=stand.auth)).status_code == 200
    await stand.gateway.accounts.revoke(digest(stand.key))
    async with asyncio.timeout(5):
        while (await stand.client.get(f"{stand.url}/v1/models", headers=stand.auth)).status_code != 401:
            continue

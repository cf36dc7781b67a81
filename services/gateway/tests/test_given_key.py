"""The first key as a mounted secret: it is read, and nothing is made or changed."""

from pathlib import Path

import pytest

from penstock.database.database import Database
from penstock.gateway.access import FirstKey, provide_first_key
from penstock.gateway.adapters.accounts import SqlAccounts
from penstock.gateway.adapters.keyfile import GivenKey
from penstock.gateway.adapters.tables import SCHEMA
from penstock.gateway.domain import keys
from penstock.gateway.ports import AccountsAway, UnusableKey


async def test_replicas_share_the_key_that_is_given(tmp_path: Path) -> None:
    key = keys.new_key()
    file = tmp_path / "api-key"
    file.write_text(f"{key}\n")
    file.chmod(0o444)
    accounts = SqlAccounts(Database(f"sqlite:///{tmp_path / 'accounts.db'}", SCHEMA, AccountsAway))
    await accounts.open()
    try:
        assert await provide_first_key(accounts, GivenKey(file)) == (FirstKey.REGISTERED, key)
        assert await provide_first_key(accounts, GivenKey(file)) == (FirstKey.KNOWN, key)
        caller = await accounts.caller_of(keys.digest_of(key))
    finally:
        await accounts.close()
    assert caller is not None
    assert caller.operator
    assert file.stat().st_mode & 0o777 == 0o444
    assert file.read_text() == f"{key}\n"


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UnusableKey, match="cannot be read: No such file"):
        GivenKey(tmp_path / "api-key").read()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "psk-short", "sk-" + "x" * 43])
def test_what_is_no_key_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "api-key"
    file.write_text(text)
    with pytest.raises(UnusableKey, match=r"no API key\. Put one into it, or unset PENSTOCK_FIRST_KEY_FILE"):
        GivenKey(file).read()

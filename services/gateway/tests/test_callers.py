"""Look-ups of callers: how often the database is asked, and for how long an answer counts."""

import asyncio

import pytest

from penstock.gateway.callers import Callers
from penstock.gateway.domain.caller import Caller
from penstock.gateway.ports import AccountsAway


class Accounts:
    """Answers when it is told to; `caller` is whose every digest is."""

    def __init__(self) -> None:
        self.caller: Caller | None = Caller("acme")
        self.away = False
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.now = 0.0
        self.callers = Callers(self.look_up, lambda: self.now, ttl_s=10, size=4)

    async def look_up(self, _digest: str) -> Caller | None:
        self.asked += 1
        caller = self.caller
        await self.answers.wait()
        if self.away:
            raise AccountsAway("gone")
        return caller


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


async def settled() -> None:
    """Let what runs beside the test come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_wait_for_a_digest_share_one_look_up(accounts: Accounts) -> None:
    accounts.answers.clear()
    finding = [asyncio.create_task(accounts.callers.find("a")) for _ in range(50)]
    await settled()
    finding[0].cancel()  # the one who began it leaves
    accounts.answers.set()
    found = await asyncio.gather(*finding, return_exceptions=True)
    assert found[1:] == [Caller("acme")] * 49
    assert accounts.asked == 1


async def test_who_asks_all_the_time_never_waits_for_the_database(accounts: Accounts) -> None:
    await accounts.callers.find("a")
    accounts.answers.clear()
    accounts.now = 6
    for _ in range(3):
        assert await accounts.callers.find("a") == Caller("acme")
    await settled()
    assert accounts.asked == 2
    accounts.answers.set()
    await settled()
    accounts.now = 10.5  # the first answer has ended, the second, of 6 s, has not
    accounts.answers.clear()
    assert await accounts.callers.find("a") == Caller("acme")


async def test_a_revoked_key_works_no_longer_than_it_may(accounts: Accounts) -> None:
    await accounts.callers.find("a")
    accounts.caller = None
    accounts.now = 6
    assert await accounts.callers.find("a") == Caller("acme")
    await settled()
    assert await accounts.callers.find("a") is None
    accounts.caller = Caller("acme")
    accounts.now = 17
    assert await accounts.callers.find("a") == Caller("acme")


async def test_a_database_that_is_away_counts_when_what_is_known_has_ended(accounts: Accounts) -> None:
    await accounts.callers.find("a")
    accounts.away = True
    accounts.now = 6
    assert await accounts.callers.find("a") == Caller("acme")
    await settled()
    assert await accounts.callers.find("a") == Caller("acme")
    accounts.now = 10
    with pytest.raises(AccountsAway):
        await accounts.callers.find("a")


async def test_what_was_looked_up_before_a_digest_was_forgotten_is_not_remembered(accounts: Accounts) -> None:
    await accounts.callers.find("a")
    accounts.answers.clear()
    accounts.now = 6
    await accounts.callers.find("a")  # begins a look-up
    await settled()
    accounts.caller = None
    accounts.callers.forget("a")
    accounts.answers.set()
    await settled()
    assert await accounts.callers.find("a") is None

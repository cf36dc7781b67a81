"""Upkeep looks often while there is work, and seldom while there is none."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.domain.model import File
from penstock.ingestion.handler.pace import CALM_SECONDS, Pace, Rhythm
from penstock.ingestion.ports import Attachment
from penstock.messages.search import DEFAULT_STORE
from penstock.streaming.ports import BrokerError

NEVER = 3600.0


class Looked:
    """A pace whose clock stands still, and something that is repeated at it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pace = Pace(lambda: self.now)
        self.times = 0
        self.away = False
        self._looked = asyncio.Condition()

    async def once(self) -> None:
        async with self._looked:
            self.times += 1
            self._looked.notify_all()
        if self.away:
            raise BrokerError("away")

    async def until(self, times: int) -> None:
        async with asyncio.timeout(10), self._looked:
            await self._looked.wait_for(lambda: self.times >= times)


@pytest.fixture
async def looked() -> AsyncIterator[Looked]:
    stop, looked = asyncio.Event(), Looked()
    repeating = asyncio.create_task(looked.pace.repeat(looked.once, Rhythm(0.001, NEVER), stop))
    yield looked
    stop.set()
    looked.pace.stir()
    await asyncio.wait_for(repeating, 10)


async def test_it_is_busy_from_its_start(looked: Looked) -> None:
    await looked.until(5)


async def test_it_rests_when_it_was_calm_and_is_woken_at_once(looked: Looked) -> None:
    looked.now += CALM_SECONDS
    await looked.until(1)
    await asyncio.sleep(0.05)  # it has come to rest
    before = looked.times
    await asyncio.sleep(0.05)
    assert looked.times == before
    looked.pace.stir()
    await looked.until(before + 5)


async def test_what_is_away_is_not_left_until_the_next_work(looked: Looked) -> None:
    looked.away = True
    await looked.until(1)
    looked.now += CALM_SECONDS
    await looked.until(looked.times + 5)


async def test_events_in_the_outbox_are_noted_when_they_are_there(tmp_path: object) -> None:
    seen: list[int] = []
    records = Records(f"sqlite:///{tmp_path}/documents.db", lambda: 1_000, lambda: seen.append(1))
    assert await records.opened() is None
    file = File("file-1", "acme", "a.md", "assistants", 1, "digest", 1)
    await records.files.begin(file)
    await records.files.finish(file)
    assert seen == []
    await records.documents.attach("acme", DEFAULT_STORE, [Attachment("file-1", {}, None)])
    assert seen == [1]
    assert await records.outbox.next(10)
    await records.outbox.done([one.number for one in await records.outbox.next(10)])
    assert seen == [1]
    await records.database.close()

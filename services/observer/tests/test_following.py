"""The line, followed while somebody looks, and for a while longer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from penstock.observer.domain.board import Board, Wish
from penstock.observer.domain.requests import Request
from penstock.observer.domain.viewer import Viewer
from penstock.observer.handler.following import BACK_MS, LINGER_SECONDS, Following
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.ports import BrokerError
from services.observer.tests.stand import Line, MemoryLog, until

EVERYONE = Viewer("", operator=True)


@dataclass
class Times:
    """Both clocks of a test, moved by hand."""

    ms: int = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def seconds(self) -> float:
        return self.ms / 1000


@dataclass
class Stand:
    log: MemoryLog
    line: Line
    times: Times
    board: Board
    following: Following
    changed: list[Request]

    def ids(self) -> set[str]:
        return {request.id for request in self.board.page(Wish(), EVERYONE)[0]}

    async def asked(self) -> str:
        return await self.line.asked(request_id=self.line.new_id(self.times.ms))

    async def rests(self) -> None:
        async def at_rest() -> bool:
            return not self.following.active

        await until(at_rest)


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    times = Times()
    broker = MemoryBroker(now_ms=times.now_ms)
    log, board, changed = MemoryLog(broker), Board(), list[Request]()
    following = Following(log, board, changed.append, times.now_ms, times.seconds)
    running = asyncio.create_task(following.run())
    yield Stand(log, Line(broker), times, board, following, changed)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_nothing_is_read_before_somebody_looks(stand: Stand) -> None:
    request_id = await stand.asked()
    await asyncio.sleep(0.05)
    assert stand.log.opened == 0
    await stand.following.look()
    assert stand.ids() == {request_id}


async def test_it_begins_a_quarter_of_an_hour_back(stand: Stand) -> None:
    await stand.asked()
    stand.times.ms += BACK_MS + 1_000
    young = await stand.asked()
    await stand.following.look()
    assert stand.ids() == {young}


async def test_changes_are_told_while_it_is_looked_at(stand: Stand) -> None:
    await stand.following.look()
    request_id = await stand.asked()

    async def told() -> bool:
        return [request.id for request in stand.changed] == [request_id]

    await until(told)


async def test_what_was_there_before_is_told_once_as_it_is_now(stand: Stand) -> None:
    request_id = await stand.asked()
    await stand.line.answered(request_id)
    await stand.following.look()
    assert [(request.id, request.state) for request in stand.changed] == [(request_id, "completed")]


async def test_it_stops_a_while_after_the_last_look_and_goes_on_where_it_left_off(stand: Stand) -> None:
    await stand.following.look()
    first = await stand.asked()
    await until(lambda: _has(stand, first))
    stand.times.ms += round(LINGER_SECONDS * 1000) + 1
    await stand.rests()
    second = await stand.asked()
    stand.times.ms += 60_000
    assert stand.ids() == {first}
    await stand.following.look()
    await until(lambda: _has(stand, second))
    assert stand.ids() == {first, second}
    assert stand.log.opened == 2


async def test_after_a_long_rest_it_begins_anew(stand: Stand) -> None:
    await stand.following.look()
    first = await stand.asked()
    await until(lambda: _has(stand, first))
    stand.times.ms += round(LINGER_SECONDS * 1000) + 1
    await stand.rests()
    stand.times.ms += BACK_MS + 60_000
    second = await stand.asked()
    await stand.following.look()
    await until(lambda: _has(stand, second))
    assert stand.ids() == {second}


async def test_a_broker_that_is_away_is_asked_again(stand: Stand) -> None:
    stand.log.away = BrokerError("gone")
    request_id = await stand.asked()
    await stand.following.look()
    assert stand.ids() == set()
    stand.log.away = None
    await until(lambda: _has(stand, request_id))


async def _has(stand: Stand, request_id: str) -> bool:
    return request_id in stand.ids()

"""One reader for all who look back: few passes, nothing lost where the live reader takes over."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from penstock.gateway.history import History, Wanted
from penstock.messages.topics import CHAT_RESPONSES
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.ports import Partition, Record

PLACE = Partition(CHAT_RESPONSES.name, 3)


class World:
    """A log whose clock and live reader the test moves."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.broker = MemoryBroker(now_ms=lambda: self.now_ms)
        self.live: int | None = None
        self.history = History(self, self)

    async def open_reader(self) -> Any:
        return self.broker.reader()

    def position(self, _partition: Partition) -> int | None:
        return self.live

    def write(self, key: str, value: str, at_ms: int) -> None:
        self.now_ms = at_ms
        self.broker.append(PLACE.topic, key.encode(), value.encode(), [], PLACE.number)

    def look(self, key: str, since_ms: int, until_ms: int = 1 << 40, enough: int = 1 << 30) -> "Look":
        return Look(self, key, since_ms, until_ms, enough)


class Look:
    """One that looks for something, and what it was given."""

    def __init__(self, world: World, key: str, since_ms: int, until_ms: int, enough: int) -> None:
        self.seen: list[str] = []
        self.given = asyncio.Event()
        self.ended = asyncio.Event()

        def take(record: Record) -> bool:
            self.given.set()
            self.seen.append((record.value or b"").decode())
            return len(self.seen) >= enough

        self.wanted = Wanted(PLACE, key.encode(), since_ms, until_ms, take, self.ended.set)
        world.history.want(self.wanted)

    async def result(self) -> list[str]:
        async with asyncio.timeout(5):
            await self.ended.wait()
        return self.seen


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    running = asyncio.create_task(made.history.run())
    yield made
    running.cancel()
    await made.history.close()


async def test_what_waits_together_shares_a_pass(world: World) -> None:
    for n in range(10):
        world.write(f"k{n % 2}", str(n), at_ms=n)
    looks = [world.look("k0", 4), world.look("k1", 0), world.look("k0", 0), world.look("none", 0)]
    seen = [await look.result() for look in looks]
    # A pass may show more than was asked for, from before; never less.
    assert seen == [["0", "2", "4", "6", "8"], ["1", "3", "5", "7", "9"], ["0", "2", "4", "6", "8"], []]
    assert world.history.passes == 1


async def test_a_pass_ends_where_the_live_reader_is(world: World) -> None:
    """Not where the log ended when it began: what came meanwhile, the live reader has let go."""
    world.write("k", "0", at_ms=0)
    world.live = 3
    look = world.look("k", 0)
    await asyncio.sleep(0.05)
    assert not look.ended.is_set()
    world.write("k", "1", at_ms=1)
    world.write("k", "2", at_ms=2)
    assert await look.result() == ["0", "1", "2"]


async def test_enough_is_enough(world: World) -> None:
    world.live = 1 << 30  # never reached
    world.write("k", "0", at_ms=0)
    world.write("k", "1", at_ms=1)
    assert await world.look("k", 0, enough=2).result() == ["0", "1"]
    world.write("k", "2", at_ms=50)
    world.write("other", "x", at_ms=101)
    assert await world.look("k", 2, until_ms=100).result() == ["2"]


async def test_far_apart_in_time_is_not_read_in_one(world: World) -> None:
    """Between the two lies much that nobody wants."""
    world.write("a", "0", at_ms=10)
    for n in range(2000):
        world.write("b", str(n), at_ms=1000 + n)
    world.write("a", "1", at_ms=9000)
    old, new = world.look("a", 0, until_ms=20), world.look("a", 8000)
    assert await old.result() == ["0"]
    assert await new.result() == ["1"]
    assert world.history.passes == 2


async def test_who_comes_late_waits_for_what_was_passed(world: World) -> None:
    world.live = 5
    world.write("k", "0", at_ms=10)
    first = world.look("k", 0)
    await first.given.wait()
    late, ahead = world.look("k", 5), world.look("k", 11)
    for n in range(1, 5):
        world.write("k", str(n), at_ms=10 + n)
    assert await ahead.result() == ["1", "2", "3", "4"]
    assert await late.result() == ["0", "1", "2", "3", "4"]
    assert world.history.passes == 2


async def test_whom_nobody_waits_for_is_let_go(world: World) -> None:
    world.live = 1 << 30
    world.write("k", "0", at_ms=0)
    look, other = world.look("k", 0), world.look("k", 0)
    other.wanted.over = True  # even before it began
    await look.given.wait()
    look.wanted.over = True
    assert await look.result() == ["0"]
    assert other.seen == []


async def test_a_fixed_end_misses_nothing_written_before_the_question(world: World) -> None:
    for n in range(1500):
        world.write("x", str(n), at_ms=n)
    first = world.look("x", 0)
    await first.given.wait()
    world.write("k", "fresh", at_ms=5000)
    assert await world.look("k", 4000).result() == ["fresh"]

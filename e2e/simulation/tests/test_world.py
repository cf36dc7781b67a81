"""The world itself: virtual time, repeatable order, processes that die and stand still."""

import asyncio
import gc
from functools import partial

import pytest

from e2e.simulation.world import Process, Stuck, World


def _ran(seed: int) -> list[tuple[float, str, str]]:
    """Three processes that sleep and write into the story."""
    world = World(seed)

    async def main(name: str, _: Process) -> None:
        for turn in range(5):
            await asyncio.sleep(1)
            world.tell(name, f"turn {turn}")

    processes = [world.start(name, partial(main, name)) for name in "abc"]
    world.run(lambda: not any(process.alive for process in processes), 60)
    return world.story


def test_a_seed_repeats_its_order_and_another_has_its_own() -> None:
    assert _ran(1) == _ran(1)
    orders = {tuple(who for _, who, _ in _ran(seed)) for seed in range(5)}
    assert len(orders) > 1


def test_hours_pass_in_no_time_and_callbacks_stay_in_order() -> None:
    world, order = World(1), list[int]()

    async def main(_: Process) -> None:
        loop = asyncio.get_running_loop()
        for number in range(9):
            loop.call_soon(order.append, number)
        await asyncio.sleep(7200)

    process = world.start("a", main)
    world.run(lambda: not process.alive, 8000)
    assert order == list(range(9))
    assert process.ended is True
    assert 7200 <= world.now < 7201


def test_timers_that_are_due_together_come_in_any_order() -> None:
    def order(seed: int) -> tuple[int, ...]:
        world, came = World(seed), list[int]()

        async def main(_: Process) -> None:
            loop = asyncio.get_running_loop()
            when = loop.time() + 1
            for number in range(4):
                loop.call_at(when, came.append, number)
            await asyncio.sleep(2)

        process = world.start("a", main)
        world.run(lambda: not process.alive, 10)
        return tuple(came)

    assert len({order(seed) for seed in range(20)}) > 5


def test_a_crash_runs_no_line_more() -> None:
    world, lines = World(1), list[str]()

    async def main(_: Process) -> None:
        try:
            lines.append("began")
            await asyncio.sleep(10)
        finally:
            lines.append("cleaned up")

    process = world.start("a", main)
    world.later(5, process.crash)
    world.later(20, lambda: None)
    with pytest.raises(Stuck):
        world.run(lambda: False, 30)
    assert lines == ["began"]
    assert not process.alive


def test_a_frozen_process_finds_that_time_has_passed() -> None:
    world, seen = World(1), list[float]()

    async def main(_: Process) -> None:
        loop = asyncio.get_running_loop()
        for _turn in range(3):
            await asyncio.sleep(1)
            seen.append(loop.time())

    process = world.start("a", main)
    world.later(1.5, lambda: process.freeze(30))
    world.run(lambda: not process.alive, 60)
    assert [round(one) for one in seen] == [1, 32, 33]


def test_a_process_that_fails_says_why() -> None:
    world = World(1)

    async def main(_: Process) -> None:
        raise ValueError("no")

    process = world.start("a", main)
    world.run(lambda: not process.alive, 1)
    assert isinstance(process.ended, ValueError)


def test_a_clock_that_drifts() -> None:
    world = World(1)

    async def main(_: Process) -> None:
        await asyncio.sleep(100)

    process = world.start("a", main, drift=0.01)
    world.run(lambda: not process.alive, 200)
    assert 99 < world.now < 99.1


def test_dead_processes_are_buried_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    world = World(1)

    async def main(_: Process) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(10)

    for number in range(3):
        world.start(str(number), main)
    with pytest.raises(Stuck):
        world.run(lambda: False, 1)
    world.close()
    del world
    gc.collect()
    assert capfd.readouterr().err == ""

"""Loads: many streams at once against one target."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from e2e.bench.errors import first_error
from e2e.bench.figures import Reply, Window
from e2e.bench.targets import Target

_ODD = 67


async def wave(target: Target, streams: int, max_tokens: int, first: int) -> list[Reply]:
    """`streams` questions at the same moment, numbered from `first`."""
    numbers = range(first, first + streams)
    with first_error():
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(target.ask(nth, max_tokens)) for nth in numbers]
    return [task.result() for task in asked]


@dataclass(frozen=True)
class Load:
    """A closed loop: each of `streams` clients asks again as soon as it has its answer.

    The window that counts opens after `ramp_s` seconds and stays open for `window_s`, both at least: each
    also waits for as many answers as there are streams, so that a slow engine is seen at all it does.
    """

    streams: int
    tokens: int
    ramp_s: float
    window_s: float
    even: bool = False
    """Whether all answers have `tokens` tokens, or from half of that to one and a half."""
    begin_over_s: float = 0.0
    """The clients begin spread over so long, so that even answers are not all in the same place."""

    def length(self, nth: int) -> int:
        """How long answer number `nth` is."""
        return self.tokens if self.even else self.tokens // 2 + nth * _ODD % (self.tokens + 1)


async def hold(
    target: Target, load: Load, spent_ms: Callable[[], dict[str, float]], first: int = 0
) -> Window:
    """Hold the load, and return what arrived and what was spent in its window.

    After the window no more is asked, and the answers under way end in peace. `spent_ms` says how much
    processor time each process has taken so far. Questions are numbered from `first`.
    """
    numbers = count(first)
    progress = asyncio.Condition()
    replies: list[Reply] = []
    over = False

    async def one(index: int) -> None:
        await asyncio.sleep(load.begin_over_s * index / load.streams)
        while not over:
            nth = next(numbers)
            reply = await target.ask(nth, load.length(nth))
            async with progress:
                replies.append(reply)
                progress.notify()

    async def at_least(seconds: float) -> None:
        enough = len(replies) + load.streams
        await asyncio.sleep(seconds)
        async with progress:
            await progress.wait_for(lambda: len(replies) >= enough)

    with first_error():
        async with asyncio.TaskGroup() as tasks:
            for index in range(load.streams):
                tasks.create_task(one(index))
            await at_least(load.ramp_s)
            began, spent_before = time.perf_counter(), spent_ms()
            await at_least(load.window_s)
            ended, spent = time.perf_counter(), spent_ms()
            over = True
    spent_meanwhile = {name: spent[name] - spent_before[name] for name in spent_before}
    return Window(began, ended, tuple(replies), spent_meanwhile)

"""Loads: many streams at once against one target."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from e2e.bench.errors import first_error
from e2e.bench.figures import Reply
from e2e.bench.targets import Target

_ODD = 67


@dataclass(frozen=True)
class Window:
    """Tokens that arrived while it was open, and what was spent meanwhile (milliseconds by process)."""

    tokens: int
    seconds: float
    spent_ms: dict[str, float]

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


async def closed_loop(
    target: Target, streams: int, each: int, max_tokens: int, spread_s: float, first: int
) -> list[Reply]:
    """`streams` clients at once, each asking `each` questions one after the other.

    They begin spread over `spread_s` seconds, so that they are not all in the same place of their answers.
    Questions are numbered from `first`.
    """
    numbers = count(first)

    async def one(index: int) -> list[Reply]:
        await asyncio.sleep(spread_s * index / streams)
        return [await target.ask(next(numbers), max_tokens) for _ in range(each)]

    with first_error():
        async with asyncio.TaskGroup() as tasks:
            clients = [tasks.create_task(one(index)) for index in range(streams)]
    return [reply for client in clients for reply in client.result()]


async def wave(target: Target, streams: int, max_tokens: int, first: int) -> list[Reply]:
    """`streams` questions at the same moment, numbered from `first`."""
    return await closed_loop(target, streams, 1, max_tokens, 0.0, first)


async def flood(
    target: Target,
    streams: int,
    tokens: int,
    ramp_s: float,
    window_s: float,
    spent_ms: Callable[[], dict[str, float]],
    first: int,
) -> Window:
    """As many tokens as will come: each client asks again as soon as it has its answer.

    After `ramp_s` seconds the tokens of the next `window_s` are counted; the answers under way then end in
    peace. Answers are around `tokens` long, each a little different, so that clients do not fall into step.
    """
    loop = asyncio.get_running_loop()
    numbers = count(first)
    seen = 0
    over = False

    def arrived(count_: int) -> None:
        nonlocal seen
        seen += count_

    async def one() -> None:
        while not over:
            nth = next(numbers)
            await target.ask(nth, tokens // 2 + nth * _ODD % (tokens + 1), arrived)

    with first_error():
        async with asyncio.TaskGroup() as tasks:
            for _ in range(streams):
                tasks.create_task(one())
            await asyncio.sleep(ramp_s)
            began, seen_before, spent_before = loop.time(), seen, spent_ms()
            await asyncio.sleep(window_s)
            seconds, counted, spent = loop.time() - began, seen - seen_before, spent_ms()
            over = True
    return Window(counted, seconds, {name: spent[name] - spent_before[name] for name in spent_before})

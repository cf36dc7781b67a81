"""Loads: many streams at once against one target."""

from __future__ import annotations

import asyncio
import time
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

    tokens: float
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


@dataclass(frozen=True)
class Flood:
    """How to flood: answers around `tokens` long.

    The window that counts opens after `ramp_s` seconds and stays open for `window_s`, both at least: each
    also waits for as many answers as there are streams, so that a slow engine is seen at all it does.
    """

    streams: int
    tokens: int
    ramp_s: float
    window_s: float


def answer_length(nth: int, tokens: int) -> int:
    """Length of answer number `nth`: from half of `tokens` to one and a half.

    Answers of one length would keep the clients in step, all asking at once.
    """
    return tokens // 2 + nth * _ODD % (tokens + 1)


async def flood(
    target: Target, plan: Flood, spent_ms: Callable[[], dict[str, float]], first: int = 0
) -> Window:
    """As many tokens as will come: each client asks again as soon as it has its answer.

    After the window no more is asked, and the answers under way end in peace.
    """
    numbers = count(first)
    progress = asyncio.Condition()
    replies: list[Reply] = []
    over = False

    async def one() -> None:
        while not over:
            nth = next(numbers)
            reply = await target.ask(nth, answer_length(nth, plan.tokens))
            async with progress:
                replies.append(reply)
                progress.notify()

    async def at_least(seconds: float) -> None:
        enough = len(replies) + plan.streams
        await asyncio.sleep(seconds)
        async with progress:
            await progress.wait_for(lambda: len(replies) >= enough)

    with first_error():
        async with asyncio.TaskGroup() as tasks:
            for _ in range(plan.streams):
                tasks.create_task(one())
            await at_least(plan.ramp_s)
            began, spent_before = time.perf_counter(), spent_ms()
            await at_least(plan.window_s)
            ended, spent = time.perf_counter(), spent_ms()
            over = True
    tokens = sum(reply.tokens_between(began, ended) for reply in replies)
    spent_meanwhile = {name: spent[name] - spent_before[name] for name in spent_before}
    return Window(tokens, ended - began, spent_meanwhile)

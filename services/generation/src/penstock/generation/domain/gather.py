"""Gathering: text goes out at once, then at most once per interval."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing


async def gather(
    pieces: AsyncGenerator[str, None], interval: Callable[[], float]
) -> AsyncGenerator[str, None]:
    """Yield the text of `pieces`: the first at once, and later what has come by the next tick.

    Ticks are `interval()` seconds apart and the same for all streams of the event loop: a continuous batch
    writes a token of every stream at nearly the same time, and records that leave together cost much less
    than as many single ones. A token never waits longer than the interval. Ends, or raises, as `pieces` does,
    after all its text.
    """
    arrived: list[str] = []
    news = asyncio.Event()

    async def pump() -> None:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    if piece:
                        arrived.append(piece)
                        news.set()
        finally:
            news.set()

    pumping = asyncio.create_task(pump())
    first = True
    try:
        while not pumping.done() or arrived:
            await news.wait()
            news.clear()
            if arrived:
                if not (first or pumping.done()):
                    await asyncio.wait([pumping], timeout=_until_tick(interval()))
                first = False
                text = "".join(arrived)
                arrived.clear()
                yield text
        await pumping
    finally:
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)


def _until_tick(interval: float) -> float:
    return interval - asyncio.get_running_loop().time() % interval

"""Gathering: text goes out at once, then at most once per interval."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing


async def gather(
    pieces: AsyncGenerator[str, None], interval: Callable[[], float]
) -> AsyncGenerator[str, None]:
    """Yield the text of `pieces`: the first at once, and later what has come within `interval()` seconds.

    So a record carries several tokens when tokens are quicker than readers notice, and a token never waits
    longer than the interval. Ends, or raises, as `pieces` does, after all its text.
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
    try:
        while not pumping.done() or arrived:
            await news.wait()
            news.clear()
            if arrived:
                text = "".join(arrived)
                arrived.clear()
                yield text
                if not pumping.done():
                    await asyncio.wait([pumping], timeout=interval())
        await pumping
    finally:
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)

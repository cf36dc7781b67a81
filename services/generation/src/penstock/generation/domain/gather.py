"""Gathering: text goes out at once, then at most once per interval."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from typing import Any, NamedTuple


class Piece(NamedTuple):
    """Visible text, and the tokens of the whole answer up to its end."""

    text: str
    tokens: int


async def gather(
    pieces: AsyncGenerator[Piece, None],
    interval: Callable[[], float],
    ends: Collection[asyncio.Future[Any]] = (),
) -> AsyncGenerator[Piece, None]:
    """Yield the text of `pieces`: the first at once, and later what has come by the next tick.

    Ticks are `interval()` seconds apart and the same for all streams of the event loop: a continuous batch
    writes a token of every stream at nearly the same time, and records that leave together cost much less
    than as many single ones. A token never waits longer than the interval. Ends, or raises, as `pieces` does,
    after all its text. When one of `ends` is done, what has come is yielded at once, and nothing after it.
    """
    arrived: list[Piece] = []
    news = asyncio.Event()

    def ended() -> bool:
        return any(end.done() for end in ends)

    pumping = asyncio.create_task(_pump(pieces, arrived, news))
    for future in (pumping, *ends):
        future.add_done_callback(lambda _: news.set())
    first = True
    try:
        while arrived or not (pumping.done() or ended()):
            await news.wait()
            news.clear()
            if not arrived:
                continue
            if not (first or pumping.done() or ended()):
                await asyncio.wait(
                    (pumping, *ends), timeout=_until_tick(interval()), return_when=asyncio.FIRST_COMPLETED
                )
            first = False
            last = ended()
            piece = Piece("".join(piece.text for piece in arrived), arrived[-1].tokens)
            arrived.clear()
            yield piece
            if last:
                break
        if not ended():
            await pumping
    finally:
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)


async def _pump(pieces: AsyncGenerator[Piece, None], arrived: list[Piece], news: asyncio.Event) -> None:
    async with aclosing(pieces):
        async for piece in pieces:
            if piece.text:
                arrived.append(piece)
                news.set()


def _until_tick(interval: float) -> float:
    return interval - asyncio.get_running_loop().time() % interval if interval > 0 else 0

"""Few records for many tokens: text that comes close together goes out together."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine
from typing import Any, NamedTuple

SHORTEST = 0.02
LONGEST = 0.08
_PER_STREAM = 0.002


class Piece(NamedTuple):
    """Visible text, and the tokens of the whole answer up to its end."""

    text: str
    tokens: int


Put = Callable[[Piece], None]


def pause(streams: int) -> float:
    """Return for how many seconds tokens gather between two reads: longer when many streams are open."""
    return min(LONGEST, max(SHORTEST, _PER_STREAM * streams))


async def gather(
    source: Callable[[Put], Coroutine[Any, Any, None]], ends: Collection[asyncio.Future[Any]] = ()
) -> AsyncGenerator[Piece, None]:
    """Yield what `source` puts, as soon as it is asked for, all that has come since as one.

    Ends, or raises, as `source` does, after all its text. When one of `ends` is done, what has come is
    yielded at once, and nothing after it.
    """
    gathered = _Gathered()
    writing = asyncio.create_task(source(gathered.put))
    for future in (writing, *ends):
        future.add_done_callback(gathered.wake)
    try:
        ended = False
        while not ended:
            await gathered.news.wait()
            ended = writing.done() or any(end.done() for end in ends)
            if (piece := gathered.take()) is not None:
                yield piece
        if not any(end.done() for end in ends):
            await writing
    finally:
        for end in ends:
            end.remove_done_callback(gathered.wake)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


class _Gathered:
    """Text that waits; `news` is set when there is some, or when there will be no more."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._tokens = 0
        self.news = asyncio.Event()

    def put(self, piece: Piece) -> None:
        if piece.text:
            self._texts.append(piece.text)
            self._tokens = piece.tokens
            self.wake()

    def take(self) -> Piece | None:
        """Return all text that has come, if there is any."""
        self.news.clear()
        if not self._texts:
            return None
        piece = Piece("".join(self._texts), self._tokens)
        self._texts.clear()
        return piece

    def wake(self, _: object = None) -> None:
        self.news.set()

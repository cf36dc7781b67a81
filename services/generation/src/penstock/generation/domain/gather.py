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


def interval(streams: int) -> float:
    """Return for how many seconds text is gathered: longer when many streams share the processors."""
    return min(LONGEST, max(SHORTEST, _PER_STREAM * streams))


async def gather(
    source: Callable[[Put], Coroutine[Any, Any, None]],
    interval: Callable[[], float],
    ends: Collection[asyncio.Future[Any]] = (),
) -> AsyncGenerator[Piece, None]:
    """Yield what `source` puts: the first at once, and later what has come by the next tick.

    Ticks are `interval()` seconds apart and the same for all streams of the event loop: a continuous batch
    writes a token of every stream at nearly the same time, and records that leave together cost much less
    than as many single ones. A token never waits longer than the interval. Ends, or raises, as `source` does,
    after all its text. When one of `ends` is done, what has come is yielded at once, and nothing after it.
    """
    gathered = _Gathered(interval)
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
        gathered.close()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


class _Gathered:
    """Text that waits for its tick; `news` is set when it is due, or when there will be no more."""

    def __init__(self, interval: Callable[[], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self._interval = interval
        self._texts: list[str] = []
        self._tokens = 0
        self._first = True
        self._timer: asyncio.TimerHandle | None = None
        self.news = asyncio.Event()

    def put(self, piece: Piece) -> None:
        if not piece.text:
            return
        self._texts.append(piece.text)
        self._tokens = piece.tokens
        if self._timer is not None or self.news.is_set():
            return
        seconds = 0 if self._first else self._interval()
        self._first = False
        if seconds > 0:
            self._timer = self._loop.call_later(seconds - self._loop.time() % seconds, self.wake)
        else:
            self.wake()

    def take(self) -> Piece | None:
        """Return all text that has come, if there is any."""
        self.close()
        self.news.clear()
        if not self._texts:
            return None
        piece = Piece("".join(self._texts), self._tokens)
        self._texts.clear()
        return piece

    def wake(self, _: object = None) -> None:
        self.news.set()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""The size of the index for the metrics: told once it is known, and kept while the index is away."""

import asyncio
from collections.abc import Callable

from penstock.retrieval.index_size import IndexSize
from penstock.retrieval.searching import CurrentIndex
from penstock.streaming.errors import TransientError


class Sized:
    """An index of which only the size matters; it fails while it is `away`."""

    def __init__(self) -> None:
        self.chunks = 3
        self.away = False
        self.looks = 0

    async def size(self) -> int:
        self.looks += 1
        if self.away:
            raise TransientError("index_failed", "The passage index failed.")
        return self.chunks


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.01)


async def test_it_is_looked_up_again_and_again_and_kept_while_the_index_is_away() -> None:
    current, index, stop = CurrentIndex(), Sized(), asyncio.Event()
    size = IndexSize(current, look_seconds=0.01)
    following = asyncio.create_task(size.run(stop))
    await asyncio.sleep(0.05)
    assert list(size.read()) == []  # there is no index yet
    current.become(index)  # type: ignore[arg-type]  # only its size is asked for
    await until(lambda: list(size.read()) == [(3, {})])
    index.chunks = 5
    await until(lambda: list(size.read()) == [(5, {})])
    index.away = True
    before = index.looks
    await until(lambda: index.looks >= before + 3)
    assert list(size.read()) == [(5, {})]
    stop.set()
    await asyncio.wait_for(following, 30)

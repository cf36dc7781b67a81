"""How many chunks the current index has, looked up now and then for the metrics."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from penstock.retrieval.ports import SearchIndex
from penstock.streaming.errors import TransientError
from penstock.telemetry.instruments import Attributes

LOOK_SECONDS = 15.0


class IndexSize:
    """Of the index that answers questions; nothing is told before it was looked up."""

    def __init__(self, index: SearchIndex, look_seconds: float = LOOK_SECONDS) -> None:
        self._index = index
        self._look_seconds = look_seconds
        self._chunks: int | None = None

    def read(self) -> Iterator[tuple[float, Attributes]]:
        """Return what was found last, for the metrics."""
        if self._chunks is not None:
            yield self._chunks, {}

    async def run(self, stop: asyncio.Event) -> None:
        """Look again and again until `stop` is set. An index that is away was told of by who needed it."""
        while not stop.is_set():
            with suppress(TransientError):
                self._chunks = await self._index.size()
            soon = self._look_seconds if self._chunks is not None else 1.0
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), soon)

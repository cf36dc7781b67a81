"""The backends: which is free, and how many requests they take together."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from penstock.generation.ports import Backend, BackendFailed

CHECK_SECONDS = 1.0


class Pool:
    """Shares requests out among backends: to the one with the most free slots."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = backends
        self._busy = dict.fromkeys(range(len(backends)), 0)

    @property
    def slots(self) -> int:
        """Return how many requests all reachable backends take together."""
        return sum(backend.slots for backend in self._backends)

    @property
    def busy(self) -> int:
        """Return how many requests are running."""
        return sum(self._busy.values())

    @contextmanager
    def lease(self) -> Iterator[Backend]:
        """Take a slot of the backend with the most free ones. Raises BackendFailed if none is reachable."""
        index = max(self._busy, key=self._free)
        if self._backends[index].slots == 0:
            raise BackendFailed("no backend can be reached")
        self._busy[index] += 1
        try:
            yield self._backends[index]
        finally:
            self._busy[index] -= 1

    def _free(self, index: int) -> int:
        return self._backends[index].slots - self._busy[index]

    async def watch(self, stop: asyncio.Event) -> None:
        """Keep asking the backends for their slots until `stop` is set."""
        while not stop.is_set():
            await self.check()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), CHECK_SECONDS)

    async def check(self) -> None:
        """Ask all backends for their slots."""
        await asyncio.gather(*(backend.check() for backend in self._backends))

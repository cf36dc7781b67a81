"""The backends: which is free, which has failed lately, and how many requests they take together."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic

from penstock.generation.ports import Backend, BackendFailed

CHECK_SECONDS = 1.0
CALM_CHECK_SECONDS = 10.0
"""While all backends are there and nothing is asked of them."""
CALM_AFTER_SECONDS = 5.0
AVOID_SECONDS = 5.0


class Pool:
    """Shares requests out among backends: to the one with the most free slots, of those that work.

    `clock` gives seconds.
    """

    def __init__(self, backends: Sequence[Backend], clock: Callable[[], float] = monotonic) -> None:
        self._backends = backends
        self._clock = clock
        self._busy = dict.fromkeys(range(len(backends)), 0)
        self._avoid_until = dict.fromkeys(self._busy, 0.0)
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._last_wanted = clock()

    @property
    def slots(self) -> int:
        """Return how many requests all reachable backends take together."""
        return sum(backend.slots for backend in self._backends)

    @property
    def busy(self) -> int:
        """Return how many requests are running."""
        return sum(self._busy.values())

    def usage(self) -> list[tuple[str, int, int]]:
        """Return of each backend its URL, how many requests run there, and how many it takes."""
        return [(backend.url, self._busy[i], backend.slots) for i, backend in enumerate(self._backends)]

    @asynccontextmanager
    async def lease(self) -> AsyncGenerator[Backend, None]:
        """Take a slot, waiting for one if all are busy. Raises BackendFailed if no backend is reachable.

        A backend that fails within the lease is avoided for a moment, while there are others.
        """
        self._last_wanted = self._clock()
        self._wanted.set()
        index = await self._free_one()
        self._busy[index] += 1
        try:
            yield self._backends[index]
        except BackendFailed:
            self._avoid_until[index] = self._clock() + AVOID_SECONDS
            raise
        finally:
            self._busy[index] -= 1
            self._changed.set()

    async def _free_one(self) -> int:
        while True:
            if self.slots == 0:
                raise BackendFailed("no backend can be reached")
            free = [index for index in self._busy if self._free(index) > 0]
            if free:
                return max(free, key=self._merit)
            self._changed.clear()
            await self._changed.wait()

    def _merit(self, index: int) -> tuple[bool, int]:
        return self._avoid_until[index] <= self._clock(), self._free(index)

    def _free(self, index: int) -> int:
        return self._backends[index].slots - self._busy[index]

    async def watch(self, stop: asyncio.Event) -> None:
        """Keep asking the backends for their slots until `stop` is set: seldom while they rest."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self.check()
                self._wanted.clear()
                wanted = asyncio.create_task(self._wanted.wait())
                calm = self._is_calm()
                await asyncio.wait(
                    {stopping, wanted} if calm else {stopping},
                    timeout=CALM_CHECK_SECONDS if calm else CHECK_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                wanted.cancel()
        finally:
            stopping.cancel()

    def _is_calm(self) -> bool:
        rests = self._clock() - self._last_wanted > CALM_AFTER_SECONDS
        return rests and not self.busy and all(backend.slots for backend in self._backends)

    async def check(self) -> None:
        """Ask all backends for their slots."""
        await asyncio.gather(*(backend.check() for backend in self._backends))
        self._changed.set()

"""The backends: which is free, which has failed lately, and how many requests they take together."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import NamedTuple

from penstock.generation.ports import Backend, BackendAway, BackendFailed
from penstock.streaming.share import WHOLE, Share

CHECK_SECONDS = 1.0
CALM_CHECK_SECONDS = 10.0
"""While all backends are there and nothing is asked of them."""
CALM_AFTER_SECONDS = 5.0
AVOID_SECONDS = 5.0


class Usage(NamedTuple):
    """How one backend is used by us: requests that run there, how many may, and whether it can be reached."""

    url: str
    busy: int
    slots: int
    is_up: bool


class Pool:
    """Shares requests out among backends: to the one with the most free slots, of those that work.

    Other replicas ask the same backends, so that only a part of each one's slots is ours: as much as of the
    partitions, but at least one slot in all. `clock` gives seconds.
    """

    def __init__(self, backends: Sequence[Backend], clock: Callable[[], float] = monotonic) -> None:
        self._backends = backends
        self._clock = clock
        self._busy = dict.fromkeys(range(len(backends)), 0)
        self._avoid_until = dict.fromkeys(self._busy, 0.0)
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._last_wanted = clock()
        self._share = WHOLE

    @property
    def is_reachable(self) -> bool:
        """Whether some backend can be reached."""
        return any(backend.slots for backend in self._backends)

    @property
    def slots(self) -> int:
        """Return how many requests we may have at all reachable backends together."""
        return sum(self._credits())

    def share(self, share: Share) -> None:
        """Take note of which part of the partitions is ours from now on."""
        self._share = share
        self._changed.set()

    @property
    def busy(self) -> int:
        """Return how many requests are running."""
        return sum(self._busy.values())

    def usage(self) -> list[Usage]:
        """Return how each backend is used."""
        credits_ = self._credits()
        return [
            Usage(backend.url, self._busy[i], credits_[i], backend.slots > 0)
            for i, backend in enumerate(self._backends)
        ]

    def _credits(self) -> list[int]:
        """Return how many requests we may have at each backend."""
        ours = [self._share.of(backend.slots) for backend in self._backends]
        if self._share.owned and not any(ours) and self.is_reachable:
            largest = max(range(len(ours)), key=lambda i: self._backends[i].slots)
            ours[largest] = 1
        return ours

    @asynccontextmanager
    async def lease(self) -> AsyncGenerator[Backend, None]:
        """Take a slot, waiting for one if all are busy. Raises BackendAway if no backend is reachable.

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
            if not self.is_reachable:
                raise BackendAway("no backend can be reached")
            free = {i: ours - self._busy[i] for i, ours in enumerate(self._credits()) if ours > self._busy[i]}
            if free:
                now = self._clock()
                return max(free, key=lambda index: (self._avoid_until[index] <= now, free[index]))
            self._changed.clear()
            await self._changed.wait()

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

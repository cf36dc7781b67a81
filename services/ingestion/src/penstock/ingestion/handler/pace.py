"""How often upkeep looks after what there is: often while there is work, seldom while there is none."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import structlog

from penstock.ingestion.ports import RecordsAway, StorageAway
from penstock.streaming.ports import BrokerError

CALM_SECONDS = 10.0
log = structlog.get_logger()


class Rhythm(NamedTuple):
    """Seconds between two looks, while there is work and while there is none."""

    busy: float
    idle: float


RELAY = Rhythm(0.1, 30)
SWEEP = Rhythm(1, 30)
RING = Rhythm(2, 30)
COUNT = Rhythm(5, 10)
"""This one finds the work that other processes have brought."""
CLEAN = Rhythm(15, 60)


class Pace:
    """There is work from the start, and from each `stir`, until it was calm for a while."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._busy_until = clock() + CALM_SECONDS
        self._stirred = asyncio.Event()

    def stir(self) -> None:
        """Say that there is work."""
        self._busy_until = self._clock() + CALM_SECONDS
        stirred, self._stirred = self._stirred, asyncio.Event()
        stirred.set()

    async def repeat(self, once: Callable[[], Awaitable[None]], rhythm: Rhythm, stop: asyncio.Event) -> None:
        """Do something again and again until `stop`, which `stir` follows. What is away is waited for."""
        while not stop.is_set():
            stirred = self._stirred
            try:
                await once()
            except (RecordsAway, BrokerError, StorageAway) as error:
                log.warning("upkeep_waits", reason=str(error))
                self._busy_until = self._clock() + CALM_SECONDS
            busy = self._clock() < self._busy_until
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    stop.wait() if busy else stirred.wait(), rhythm.busy if busy else rhythm.idle
                )

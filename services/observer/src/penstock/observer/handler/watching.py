"""The pipeline, looked at every second while somebody watches."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

import structlog

from penstock.observer.domain.errors import broker_away
from penstock.observer.domain.pipeline import Pipeline
from penstock.observer.domain.survey import DEAD_PARTITIONS, GROUPS, INDEXER, PARTITIONS, Look, pipeline
from penstock.observer.domain.telling import Telling
from penstock.observer.handler.ages import Ages
from penstock.observer.handler.letters import LetterCounts
from penstock.observer.ports import Log
from penstock.streaming.ports import BrokerError, Overview

LINGER_SECONDS = 60.0
EVERY_SECONDS = 1.0
PATIENCE_SECONDS = 6.0
"""So long a look waits for Kafka."""
RATE_SECONDS = 10.0
"""Rates are means over so long."""
log = structlog.get_logger()


class Watching:
    """Keeps the last look; `now_ms` is Unix time, `clock` gives seconds that only grow."""

    def __init__(
        self,
        opening: Log,
        telling: Telling,
        now_ms: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        every: float = EVERY_SECONDS,
    ) -> None:
        self._log = opening
        self._telling = telling
        self._now_ms = now_ms
        self._clock = clock
        self._every = every
        self._ages = Ages(opening)
        self._counts = LetterCounts(opening)
        self._looks: deque[Look] = deque()
        self._latest: Pipeline | None = None
        self._looked = float("-inf")
        self._wanted = asyncio.Event()
        self._news = asyncio.Event()

    async def latest(self) -> Pipeline:
        """Return how far everything is now. Raises ApiError 503 if Kafka does not answer."""
        self._touch()
        return self._latest or await self._next()

    async def watch(self) -> AsyncGenerator[Pipeline, None]:
        """Yield every look from now on. Raises ApiError 503 when Kafka does not answer."""
        yield await self.latest()
        while True:
            self._touch()
            yield await self._next()

    async def run(self) -> None:
        """Look whenever that is wanted, until cancelled."""
        away = False
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._is_watched():
                try:
                    await self._look_on()
                    away = False
                except BrokerError as error:
                    if not away:
                        log.warning("pipeline_not_seen", reason=str(error))
                    away = True
                    await asyncio.sleep(self._every)

    def _touch(self) -> None:
        self._looked = self._clock()
        self._wanted.set()

    def _is_watched(self) -> bool:
        return self._clock() - self._looked < LINGER_SECONDS

    async def _next(self) -> Pipeline:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), PATIENCE_SECONDS)
        if self._latest is None:
            raise broker_away()
        return self._latest

    async def _look_on(self) -> None:
        overview = await self._log.overview()
        try:
            while self._is_watched():
                began = self._clock()
                self._tell(await self._look(overview))
                await asyncio.sleep(max(0.0, self._every - (self._clock() - began)))
        finally:
            self._latest = None
            self._looks.clear()
            await self._ages.close()
            await overview.close()

    def _tell(self, seen: Pipeline) -> None:
        self._latest = seen
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _look(self, overview: Overview) -> Pipeline:
        extents = await overview.extents((*PARTITIONS, *DEAD_PARTITIONS))
        indexers = [name for name in await overview.group_names() if INDEXER in name]
        groups = await overview.groups((*GROUPS, *indexers))
        now = Look(self._clock(), self._now_ms(), extents, groups)
        written_ms = await self._ages.written_ms(now.waiting_at())
        dead = await self._counts.count(extents, now.at_s)
        before = self._looks[0] if self._looks else None
        self._looks.append(now)
        while self._looks[0].at_s < now.at_s - RATE_SECONDS:
            self._looks.popleft()
        return pipeline(now, before, written_ms, dead, self._telling)

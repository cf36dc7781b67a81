"""The line of requests, followed while somebody looks."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from penstock.observer.domain.board import LINE, Board
from penstock.observer.domain.requests import Request
from penstock.observer.ports import Log
from penstock.streaming.ports import BrokerError, Partition, Reader, Record, Since

BACK_MS = 15 * 60_000
"""From so far back the line is read when somebody begins to look."""
LINGER_SECONDS = 60.0
"""For so long it is followed after the last look."""
PATIENCE_SECONDS = 2.0
"""So long a first look waits for what is there already."""
_OVERLAP_MS = 5_000
_POLL_SECONDS = 0.25
_RETRY_SECONDS = 1.0
log = structlog.get_logger()


class Following:
    """Keeps the board at the log's end while it is looked at; `changed` is told of every change then.

    `now_ms` is Unix time, `clock` gives seconds that only grow.
    """

    def __init__(
        self,
        opening: Log,
        board: Board,
        changed: Callable[[Request], None],
        now_ms: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = opening
        self._board = board
        self._changed = changed
        self._now_ms = now_ms
        self._clock = clock
        self._looked = float("-inf")
        self._wanted = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._left_off_ms = 0
        self.active = False

    async def look(self) -> None:
        """Say that somebody looks, and wait a moment for the board to show what is there."""
        self.touch()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._caught_up.wait(), PATIENCE_SECONDS)

    def touch(self) -> None:
        """Say that somebody looks."""
        self._looked = self._clock()
        self._wanted.set()

    async def run(self) -> None:
        """Follow the line whenever it is looked at, until cancelled."""
        away = False
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._is_looked_at():
                try:
                    await self._follow()
                    away = False
                except BrokerError as error:
                    if not away:
                        log.warning("line_not_followed", reason=str(error))
                    away = True
                    await asyncio.sleep(_RETRY_SECONDS)

    def _is_looked_at(self) -> bool:
        return self._clock() - self._looked < LINGER_SECONDS

    async def _follow(self) -> None:
        reader = await self._log.reader()
        try:
            ends = await self._begin(reader)
            self.active = True
            while self._is_looked_at():
                self._take(await reader.poll(_POLL_SECONDS))
                if not self._caught_up.is_set() and all(reader.position(at) >= ends[at] for at in ends):
                    self._caught_up.set()
                    for request in self._board:
                        self._changed(request)
                self._left_off_ms = self._now_ms()
        finally:
            self.active = False
            self._caught_up.clear()
            await reader.close()

    def _take(self, records: Sequence[Record]) -> None:
        """Take note of records; what has changed is told from the log's end on, and not as it once was."""
        for record in records:
            request = self._board.take(record)
            if request is not None and self._caught_up.is_set():
                self._changed(request)

    async def _begin(self, reader: Reader) -> dict[Partition, int]:
        """Read from where the last one left off, if not too long ago. Return where the line ends now."""
        partitions = [Partition(topic.name, n) for topic in LINE for n in range(topic.partitions)]
        await reader.read(dict.fromkeys(partitions, "end"))
        ends = {at: reader.position(at) for at in partitions}
        back = self._now_ms() - BACK_MS
        if self._left_off_ms < back:
            self._board.clear()
        await reader.read(dict.fromkeys(partitions, Since(max(back, self._left_off_ms - _OVERLAP_MS))))
        return ends

"""A stream that must not stall: a backend may hold its connection open and send nothing more."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from penstock.generation.ports import BackendFailed


@dataclass(frozen=True, slots=True)
class StreamTimeouts:
    """How many seconds to wait: for the first token, for each later one, and for any progress at all."""

    first_token: float = 60.0
    token: float = 20.0
    retry: float = 30.0


class Watchdog:
    """One timer a stream. It is set anew only when it goes off, so that a token costs next to nothing."""

    def __init__(self, timeouts: StreamTimeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience = timeouts
        self.seconds = timeouts.first_token
        self._fed = self._loop.time()
        self.timeout = asyncio.timeout(None)
        self._timer = self._loop.call_at(self._fed + self.seconds, self._look)
        self._first = True

    def feed(self) -> float:
        """Say that tokens have come; return the loop's time."""
        self._fed = self._loop.time()
        if self._first:
            self._first = False
            self.seconds = self._patience.token
            self.stop()
            self._look()
        return self._fed

    def stop(self) -> None:
        """Watch no longer."""
        self._timer.cancel()

    def _look(self) -> None:
        due, now = self._fed + self.seconds, self._loop.time()
        if now < due:
            self._timer = self._loop.call_at(due, self._look)
        else:
            self.timeout.reschedule(now)


@asynccontextmanager
async def watched(timeouts: StreamTimeouts) -> AsyncGenerator[Watchdog, None]:
    """Cut the block off with BackendFailed when its watchdog is not fed in time."""
    watchdog = Watchdog(timeouts)
    try:
        async with watchdog.timeout:
            yield watchdog
    except TimeoutError:
        if not watchdog.timeout.expired():
            raise
        raise BackendFailed(f"no token came for {watchdog.seconds:g} s") from None
    finally:
        watchdog.stop()

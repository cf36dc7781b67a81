"""A timer that does not go by a time in which this process stood still."""

import asyncio
from collections.abc import Callable

_LATE_S = 1.0


class PunctualTimer:
    """Calls back once after `seconds`.

    If it finds itself late by more than a second, the process was stopped (a paused container, a machine that
    slept): what has come meanwhile has not been read, and it waits for `again` seconds more.
    """

    def __init__(self, seconds: float, again: float, callback: Callable[[], object]) -> None:
        self._again = again
        self._callback = callback
        self._set(seconds)

    def cancel(self) -> None:
        """Never call back."""
        self._timer.cancel()

    def _set(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._ring, loop.time() + seconds)

    def _ring(self, due: float) -> None:
        if asyncio.get_running_loop().time() - due > _LATE_S:
            self._set(self._again)
        else:
            self._callback()

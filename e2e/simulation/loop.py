"""An event loop for one simulated process: real asyncio, but a clock and turns that the world decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from random import Random
from typing import Any, TypeVarTuple, Unpack

_Ts = TypeVarTuple("_Ts")
_APART_S = 1e-6
"""Timers that are due at the same time come in any order: each is moved by less than this."""


class _NoSelector:
    """Nothing to wait for: there are no sockets."""

    def select(self, _timeout: float | None) -> list[Any]:
        return []


class ProcessLoop(asyncio.BaseEventLoop):
    """Runs one turn at a time: what is ready, as `run_forever` does between two looks at its sockets.

    `now` gives the process's monotonic seconds. Callbacks of `call_soon` stay first in, first out, as asyncio
    promises; timers that are due together come in an order that `random` draws. `failures` are what no task
    has handled.
    """

    def __init__(self, now: Callable[[], float], random: Random) -> None:
        super().__init__()
        self._now = now
        self._random = random
        self._selector = _NoSelector()
        self.failures: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.failures.append(context))

    def time(self) -> float:
        """Return the process's own monotonic seconds."""
        return self._now()

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at a time by this loop's clock."""
        return super().call_at(when + self._random.random() * _APART_S, callback, *args, context=context)

    @property
    def due(self) -> float | None:
        """When there is something to do, by this loop's clock; None if nothing before somebody calls.

        asyncio has no public way to ask. A timer that was cancelled counts: its turn does nothing.
        """
        if self._ready:  # type: ignore[attr-defined]
            return self.time()
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return scheduled[0].when() if scheduled else None

    def turn(self) -> None:
        """Run all that is ready now."""
        self.call_soon(self.stop)
        self.run_forever()

    def _process_events(self, _event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nothing to wake: the world looks at a loop after each turn."""

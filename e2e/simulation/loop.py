"""An event loop for one simulated process: real asyncio, but a clock and turns that the world decides."""

from __future__ import annotations

import asyncio
import heapq
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable
from contextvars import Context
from random import Random
from typing import Any, TypeVarTuple, Unpack

_Ts = TypeVarTuple("_Ts")
_APART_S = 1e-6
"""Timers that are due at the same time come in any order: each is moved by less than this."""


class ProcessLoop(asyncio.BaseEventLoop):
    """Runs one turn at a time: what is ready, as `run_forever` does between two looks at its sockets.

    asyncio has no public way to run one turn, or to ask what is due; so this reads its queues by their
    private names. `run_forever` for each turn does the same, and takes twice as long.

    `now` gives the process's monotonic seconds. Callbacks of `call_soon` stay first in, first out, as asyncio
    promises; timers that are due together come in an order that `random` draws. `failures` are what no task
    has handled.
    """

    def __init__(self, now: Callable[[], float], random: Random) -> None:
        super().__init__()
        self.time = now  # type: ignore[method-assign]  # asked often
        self._random = random
        self.dead = False
        """Whether its process was killed: no line of it runs any more."""
        self.failures: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.failures.append(context))

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
        """When there is something to do, by this loop's clock; None if nothing before somebody calls."""
        if self._handles:
            return self.time()
        timers = self._timers
        while timers and timers[0].cancelled():
            heapq.heappop(timers)
        return timers[0].when() if timers else None

    def turn(self, rounds: int) -> None:
        """Run all that is ready now, what that makes ready, and so on, for so many rounds at most."""
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(
            firstiter=self._asyncgen_firstiter_hook,  # type: ignore[attr-defined]
            finalizer=self._asyncgen_finalizer_hook,  # type: ignore[attr-defined]
        )
        events._set_running_loop(self)
        try:
            for _ in range(rounds):
                self._run_ready()
                if not self._handles:
                    break
        finally:
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def _run_ready(self) -> None:
        handles, timers, now = self._handles, self._timers, self.time() + _APART_S
        while timers and timers[0].when() < now:
            handles.append(heapq.heappop(timers))
        for _ in range(len(handles)):
            handle = handles.popleft()
            if not handle.cancelled():
                handle._run()
            if self.dead:
                return

    @property
    def _handles(self) -> deque[asyncio.Handle]:
        return self._ready  # type: ignore[attr-defined, no-any-return]

    @property
    def _timers(self) -> list[asyncio.TimerHandle]:
        return self._scheduled  # type: ignore[attr-defined, no-any-return]

    def _write_to_self(self) -> None:
        """Nothing to wake: the world looks at a loop after each turn."""

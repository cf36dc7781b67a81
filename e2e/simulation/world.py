"""The world: one clock, one order of events, processes that run, stand still and die; all from one seed."""

from __future__ import annotations

import asyncio
import heapq
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from itertools import count
from random import Random
from typing import Any, TypeAlias

from e2e.simulation.loop import ProcessLoop

_SHORTEST_S, _LONGEST_S = 5e-6, 200e-6
"""How long a turn of a process takes."""
_SLOWLY, _MOST_ROUNDS = 0.2, 32
"""So many turns end after one round of the event loop; the others go on until nothing is ready."""
EPOCH_MS = 1_800_000_000_000
"""When the world begins: a day in 2027."""
Line: TypeAlias = tuple[float, str, str]
"""When, who, what."""
Main: TypeAlias = "Callable[[Process], Coroutine[Any, Any, None]]"


class Stuck(Exception):
    """Nothing is left that could happen, and what was waited for has not."""


class World:
    """Simulated seconds, which begin at 0, and what happens in them, in an order that the seed decides."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.story: list[Line] = []
        self.processes: list[Process] = []
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Let something happen at a time (not before now)."""
        heapq.heappush(self._events, (max(when, self.now), next(self._numbers), action))

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Let something happen after so many seconds."""
        self.at(self.now + seconds, action)

    def tell(self, who: str, what: str) -> None:
        """Add a line to the story."""
        self.story.append((self.now, who, what))

    @property
    def now_ms(self) -> int:
        """Return the true time as Unix milliseconds."""
        return EPOCH_MS + round(self.now * 1000)

    def start(self, name: str, main: Main, drift: float = 0.0) -> Process:
        """Start a process that runs a coroutine; its clocks gain `drift` seconds a second."""
        process = Process(self, name, drift)
        self.processes.append(process)
        process.begin(main)
        return process

    def run(self, until: Callable[[], bool], seconds: float) -> None:
        """Let things happen until something holds. Raises Stuck if it does not within so many seconds."""
        end = self.now + seconds
        while not until():
            if not self._events or self._events[0][0] > end:
                raise Stuck(f"after {seconds:.0f} s, at {self.now:.3f} s")
            self.now, _, action = heapq.heappop(self._events)
            action()

    def close(self) -> None:
        """End all processes without a further turn."""
        for process in self.processes:
            process.crash()
        self._events.clear()
        _bury([process.loop for process in self.processes])


class Process:
    """One simulated process: an event loop of its own, which the world may stop at any await.

    A process that crashes runs no line more: no `finally`, no `except`. One that is frozen goes on later as
    if nothing had been, except that time has passed.
    """

    def __init__(self, world: World, name: str, drift: float) -> None:
        self.name = name
        self.ended: BaseException | bool = False
        """True when its coroutine has returned, or what it has raised."""
        self.stop = asyncio.Event()
        """Set when it is asked to end."""
        self._world = world
        self._born, self._rate = world.now, 1 + drift
        self.loop = ProcessLoop(self._monotonic, Random(world.random.random()))
        self._crashed = False
        self._frozen_until = 0.0
        self._next_turn: float | None = None
        self._at_end: list[Callable[[], object]] = []

    @property
    def failures(self) -> list[str]:
        """What no task has handled, while it runs: one that has ended takes its tasks with it."""
        if not self.alive:
            return []
        return [repr(one.get("exception", one["message"])) for one in self.loop.failures]

    @property
    def tasks(self) -> int:
        """How many tasks it has that have not ended."""
        return len(asyncio.all_tasks(self.loop))

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not self._crashed and self.ended is False

    def begin(self, main: Main) -> None:
        """Run a coroutine."""
        task = self.loop.create_task(main(self), name=self.name)
        task.add_done_callback(self._end)
        self._arm()

    def call(self, function: Callable[[], object]) -> None:
        """Run a function in this process at its next turn: what a socket does that becomes readable."""
        if self.alive:
            self.loop.call_soon(function)
            self._arm()

    def terminate(self) -> None:
        """Ask it to end, as SIGTERM does."""
        self.call(self.stop.set)

    def crash(self) -> None:
        """Kill it."""
        if self.alive:
            self._crashed = self.loop.dead = True
            self._leave()

    def at_end(self, action: Callable[[], object]) -> None:
        """Do something when this process has ended or was killed: as its kernel closes its connections."""
        self._at_end.append(action)

    def freeze(self, seconds: float) -> None:
        """Let it stand still for so long."""
        self._frozen_until = max(self._frozen_until, self._world.now + seconds)

    def _monotonic(self) -> float:
        return (self._world.now - self._born) * self._rate

    def _arm(self) -> None:
        """See to it that the world gives this process its next turn."""
        due = self.loop.due
        if due is None:
            return
        world = self._world
        when = max(world.now, self._born + due / self._rate, self._frozen_until)
        when += _SHORTEST_S + world.random.random() * (_LONGEST_S - _SHORTEST_S)
        if self._next_turn is None or when < self._next_turn:
            self._next_turn = when
            world.at(when, partial(self._turn, when))

    def _turn(self, when: float) -> None:
        if when != self._next_turn or not self.alive:
            return  # an earlier turn has done it
        self._next_turn = None
        if self._world.now >= self._frozen_until:
            self.loop.turn(1 if self._world.random.random() < _SLOWLY else _MOST_ROUNDS)
        self._arm()

    def _end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        self.ended = error or True
        self._leave()

    def _leave(self) -> None:
        actions, self._at_end = self._at_end, []
        for action in actions:
            action()


def _bury(loops: list[ProcessLoop]) -> None:
    """Close the coroutines of dead processes in silence: what they do on their way out reaches nobody."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        for loop in loops:
            for task in asyncio.all_tasks(loop):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own way to say so
                with suppress(Exception, BaseExceptionGroup):
                    task.get_coro().close()
            loop.close()
    finally:
        sys.unraisablehook = hook

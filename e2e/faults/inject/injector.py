"""What was done to the stand, and when: every fault is written down here as it is made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from e2e.faults.invariants import Violation
from e2e.faults.stand import Stand


@dataclass(slots=True)
class Injected:
    """One fault. `until` is the end of a state that lasts (a process that stands still), else like `at`."""

    fault: str
    target: str
    at: float
    until: float


@dataclass
class Injector:
    """What faults are made with: `injected` is the list of them, `notes` what else is worth telling.

    `broken` are promises that the injector itself saw broken.
    """

    stand: Stand
    random: Random
    injected: list[Injected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken: list[Violation] = field(default_factory=list)

    def note(self, fault: str, target: str) -> Injected:
        """Write a fault down."""
        now = time.time()
        made = Injected(fault, target, now, now)
        self.injected.append(made)
        return made


Fault: TypeAlias = Callable[[Injector, asyncio.Event], Coroutine[object, object, None]]
"""Makes faults until the event is set; what it has broken for a time it mends before it returns."""


async def pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait so long, or until `stop`; return whether to go on."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return True
    return False

"""Two replicas of generation share a backend's slots: together they use all of them, and never one more."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from e2e.faults.asks import Load
from e2e.faults.load import Clients
from e2e.faults.stand import Setup, Stand

SLOTS = 32
SEED = 15
_LONG = Load(streams=2 * SLOTS, tokens=(80, 120), limited=0, stopped=0, gap_s=0.0)
"""Twice as many clients as slots, so that there is always somebody to take a free one; 4 to 6 s an answer."""
_WARM_UP_S = 6.0
_WINDOW_S = 10.0
_LOOK_S = 0.05


def test_two_replicas_use_all_slots_and_never_one_more(tmp_path: Path) -> None:
    setup = Setup(replicas={"generation": 2}, slots=SLOTS, inter_ms=50)
    asyncio.run(_shared(Stand(setup, tmp_path, lambda _: None)))


async def _shared(stand: Stand) -> None:
    async with _running(stand), _asking(stand):
        await asyncio.sleep(_WARM_UP_S)
        used = await _looked_at(stand, _WINDOW_S)
        assert sum(used) / len(used) >= 0.95 * SLOTS

        killed = time.monotonic()
        staying_dead = asyncio.create_task(_kill_on_sight(stand, "generation-2"))
        try:
            await asyncio.sleep(3.0)
            after = await _looked_at(stand, 3.0)
        finally:
            staying_dead.cancel()
        assert sum(after) / len(after) >= 0.95 * SLOTS, f"{time.monotonic() - killed:.1f} s after the kill"
        assert (await stand.stub.stats()).refused == 0  # no 33rd was ever asked for


@asynccontextmanager
async def _running(stand: Stand) -> AsyncIterator[None]:
    try:
        await stand.start()
        yield
    finally:
        await stand.stop()


@asynccontextmanager
async def _asking(stand: Stand) -> AsyncIterator[None]:
    clients = Clients(stand.door(), _LONG, "slots", Random(SEED))  # noqa: S311  # drawn again
    asking = asyncio.create_task(clients.run(asyncio.Event()))
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def _looked_at(stand: Stand, seconds: float) -> list[int]:
    """Return how many answers the backend wrote at each look."""
    end, found = time.monotonic() + seconds, []
    while time.monotonic() < end:
        found.append((await stand.stub.stats()).running)
        await asyncio.sleep(_LOOK_S)
    return found


async def _kill_on_sight(stand: Stand, name: str) -> None:
    """Kill a replica, and again whenever the supervisor has started it again."""
    last = None
    while True:
        pid = stand.pid(name)
        if pid is not None and pid != last:
            os.kill(pid, signal.SIGKILL)
            last = pid
        await asyncio.sleep(_LOOK_S)

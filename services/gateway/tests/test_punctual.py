"""A timer and a process that stands still."""

import asyncio
import time

from penstock.gateway.punctual import PunctualTimer


async def test_it_rings_in_time_and_not_when_cancelled() -> None:
    rung: list[str] = []
    PunctualTimer(0.01, 60, lambda: rung.append("kept"))
    PunctualTimer(0.01, 60, lambda: rung.append("cancelled")).cancel()
    await asyncio.sleep(0.1)
    assert rung == ["kept"]


async def test_a_process_that_stood_still_waits_once_more() -> None:
    rung: list[float] = []
    PunctualTimer(0.01, 0.2, lambda: rung.append(time.monotonic()))
    time.sleep(1.2)  # noqa: ASYNC251  # the process stands still
    woke = time.monotonic()
    await asyncio.sleep(0.05)
    assert not rung
    await asyncio.sleep(0.4)
    assert len(rung) == 1
    assert rung[0] - woke >= 0.2

"""A flood of records that are no events: the stage must stop and say so, not bury all of them."""

from __future__ import annotations

import asyncio
import signal
import time

from e2e.faults.inject.injector import Fault, Injector, pause
from e2e.faults.inject.processes import send
from e2e.faults.invariants import Violation
from e2e.faults.stand import StandError
from penstock.messages.topics import CHAT_TOKENIZED
from penstock.streaming.adapters.kafka import open_producer

_STAGE = "retrieval"
_STOPPED_S = 15.0
_QUIET_S = 5.0


def flood(count: int, after_s: float) -> Fault:
    """Write `count` bad records into chat.tokenized, and restart the stage as often as it stops for them."""

    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        if not await pause(stop, after_s):
            return
        injector.note("poison 100 %", CHAT_TOKENIZED.name)
        producer = await open_producer(injector.stand.status().kafka, [CHAT_TOKENIZED.name])
        for number in range(count):
            await producer.send(CHAT_TOKENIZED.name, b"flood", b"\x00no event", [], number % 2)
        await producer.close()
        stops = 0
        while await _stopped(injector, _STOPPED_S if stops == 0 else _QUIET_S):
            stops += 1
            send(injector, _STAGE, signal.SIGTERM)
            await pause(stop, 2.0)
            await _until_running(injector)
        injector.notes.append(f"{count} bad records in a row: {_STAGE} stopped {stops} times and said so")
        if stops == 0:
            injector.broken.append(
                Violation("DLQ", "flood", "", f"{_STAGE} took {count} bad records without stopping")
            )

    return inject


async def _stopped(injector: Injector, seconds: float) -> bool:
    """Return whether the stage says within so many seconds that it takes no more."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        said = [
            reason
            for service in injector.stand.status().services
            if service.name == _STAGE
            for reason in service.waiting_for
        ]
        if any("invalid" in reason for reason in said):
            return True
        await asyncio.sleep(0.2)
    return False


async def _until_running(injector: Injector) -> None:
    try:
        await injector.stand.until_ready(20)
    except StandError:
        return  # it may have stopped again before it was ready

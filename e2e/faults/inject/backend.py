"""Faults of the model server: streams cut or stalled at every place, the whole process killed."""

from __future__ import annotations

import asyncio
from itertools import cycle

import httpx2

from e2e.faults.inject.injector import Fault, Injector, pause


def cuts(most: int, every_s: float, share: float = 1.0) -> Fault:
    """Each stream breaks once, after k tokens: k is 0, 1, … `most`, and again, a new one every `every_s`."""
    return _streams("cut_at", most, every_s, share)


def stalls(most: int, every_s: float, share: float) -> Fault:
    """Some streams fall silent once, without being closed."""
    return _streams("stall_at", most, every_s, share)


def _streams(what: str, most: int, every_s: float, share: float) -> Fault:
    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        stub = injector.stand.stub
        going_on = True
        for k in cycle(range(most + 1)):
            if not going_on:
                break
            before = (await stub.stats()).broken
            await stub.break_streams(**{what: k, "share": share})
            going_on = await pause(stop, every_s)
            for _ in range((await stub.stats()).broken - before):
                injector.note(what.replace("_at", ""), f"k={k}")
        await stub.break_streams()

    return inject


def backend_kills(every_s: float, down_s: float = 0.5) -> Fault:
    """The model server is killed, and there again after `down_s`."""

    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        stub = injector.stand.stub
        while await pause(stop, every_s):
            injector.note("kill -9", "backend")
            stub.kill()
            await asyncio.sleep(down_s)
            await asyncio.to_thread(stub.start)
            try:
                await stub.stats()
            except httpx2.HTTPError as error:
                injector.notes.append(f"the backend did not come back: {type(error).__name__}")

    return inject

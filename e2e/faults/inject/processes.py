"""Faults of processes: killed, stopped, frozen, replaced one by one, added and taken away."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle

from e2e.faults.inject.injector import Fault, Injector, pause
from e2e.faults.stand import StandError

STAGES = ("tokenization", "retrieval", "generation", "postprocessing", "gateway")
_READY_S = 60.0
_SCALED_S = 15.0


def kills(services: Sequence[str], every_s: float, *, in_turn: bool = False) -> Fault:
    """Kill -9 of a random replica of one of the services, again and again."""
    return _signals("kill -9", signal.SIGKILL, services, every_s, in_turn=in_turn)


def stops(services: Sequence[str], every_s: float) -> Fault:
    """SIGTERM instead."""
    return _signals("SIGTERM", signal.SIGTERM, services, every_s, in_turn=False)


def _signals(
    name: str, number: signal.Signals, services: Sequence[str], every_s: float, *, in_turn: bool
) -> Fault:
    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        turns = cycle(services)
        while await pause(stop, every_s):
            service = next(turns) if in_turn else injector.random.choice(list(services))
            target = injector.random.choice(injector.stand.names(service))
            if send(injector, target, number):
                injector.note(name, target)

    return inject


def send(injector: Injector, target: str, number: signal.Signals) -> bool:
    """Send a signal to a replica; False if it does not run at the moment."""
    with suppress(ProcessLookupError, StandError):
        pid = injector.stand.pid(target)
        if pid is not None:
            os.kill(pid, number)
            return True
    return False


def freezes(services: Sequence[str], seconds: float, every_s: float) -> Fault:
    """SIGSTOP, and SIGCONT so much later: a zombie, to its group, if that outlasts its session."""

    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        turns = cycle(services)
        while await pause(stop, every_s):
            target = injector.random.choice(injector.stand.names(next(turns)))
            pid = injector.stand.pid(target)
            if pid is None:
                continue
            frozen = injector.note(f"SIGSTOP {seconds:g} s", target)
            frozen.until = frozen.at + seconds
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                try:
                    await asyncio.sleep(seconds)
                finally:
                    os.kill(pid, signal.SIGCONT)
                    frozen.until = time.time()

    return inject


def rolling_restarts(services: Sequence[str] = STAGES, every_s: float = 1.0) -> Fault:
    """SIGTERM to each replica in turn, the next one when all are ready again."""

    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for service in services:
                for target in injector.stand.names(service):
                    if not await pause(stop, every_s):
                        return
                    if send(injector, target, signal.SIGTERM):
                        injector.note("restart", target)
                        await _until_replaced(injector, target, stop)

    return inject


async def _until_replaced(injector: Injector, target: str, stop: asyncio.Event) -> None:
    await pause(stop, 1.0)  # the supervisor looks once a second
    try:
        await injector.stand.until_ready(_READY_S)
    except StandError as error:
        injector.notes.append(f"after a restart of {target}: {error}")


def storm(service: str, most: int, every_s: float) -> Fault:
    """A replica joins or leaves every so often: from `most` replicas down to one and up again."""

    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        counts = [*range(most - 1, 0, -1), *range(2, most + 1)] if most > 1 else [1]
        async with asyncio.TaskGroup() as tasks:
            for count in cycle(counts):
                if not await pause(stop, every_s):
                    break
                injector.note("scale", f"{service}={count}")
                tasks.create_task(_scale(injector, service, count))  # the next one may come before its end
        await _scale(injector, service, most)

    return inject


async def _scale(injector: Injector, service: str, count: int) -> None:
    try:
        async with asyncio.timeout(_SCALED_S):
            await injector.stand.scale(service, count)
    except TimeoutError:
        return  # another wish came before this one was fulfilled
    except StandError as error:
        injector.notes.append(str(error))

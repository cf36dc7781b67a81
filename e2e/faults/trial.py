"""One scenario on one stand: load and faults together, then the checker's judgement."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeAlias

from e2e.bench.figures import percentile
from e2e.faults.asks import Kind
from e2e.faults.inject.broker import mount_small_disk, unmount_small_disk
from e2e.faults.inject.injector import Injected, Injector
from e2e.faults.invariants import (
    SLOT_S,
    Violation,
    check_clients,
    check_commits,
    check_share,
    check_slots,
)
from e2e.faults.load import Clients
from e2e.faults.logbook import Logbook
from e2e.faults.readback import ends, read_back
from e2e.faults.scenarios import Scenario
from e2e.faults.seen import Seen
from e2e.faults.stand import Stand, StandError
from e2e.faults.watch import Watch

OF_RECORDS = ("duplicate", "poison")
"""Faults that befall single records: there are very many of them."""
_WARM_UP_S = 2.0
_TELL_EVERY_S = 30.0
_AFTER_A_FAULT_S = 15.0
_LOOK_S = 0.1
_LATE_S = 1.0


Usage: TypeAlias = tuple[float, int, int]
"""Unix seconds, pid, bytes."""


@dataclass(frozen=True)
class Result:
    """What came of a scenario."""

    scenario: Scenario
    seconds: float
    seen: Sequence[Seen]
    injected: Sequence[Injected]
    violations: Sequence[Violation]
    notes: Sequence[str]
    memory: dict[str, list[Usage]]

    @property
    def states(self) -> Counter[str]:
        """How many ended how."""
        return Counter(one.end.state if one.end else "lost" for one in self.seen)

    @property
    def codes(self) -> Counter[str]:
        """The errors of those that failed or were refused."""
        ends = [one.end for one in self.seen if one.end and one.end.state in ("failed", "refused")]
        return Counter(end.code for end in ends)

    @property
    def sorts(self) -> Counter[str]:
        """Violations by sort."""
        return Counter(violation.sort for violation in self.violations)

    @property
    def passed(self) -> bool:
        """Whether everything held; for a broken build, whether it was caught."""
        if self.scenario.broken:
            return any(violation.rule == self.scenario.broken for violation in self.violations)
        return not self.violations

    @property
    def pauses(self) -> list[float]:
        """For each stream that was open at a fault of a process, its longest silence from then on."""
        faults = [made.at for made in self.injected if made.fault not in OF_RECORDS]
        return [
            max(one.longest_pause(at, at + _AFTER_A_FAULT_S) for at in at_once)
            for one in self.seen
            if one.ask.kind is Kind.STREAM and len(one.pieces) > 1
            for at_once in [[at for at in faults if one.pieces[0].moment <= at <= one.pieces[-1].moment]]
            if at_once
        ]

    @property
    def p99_pause(self) -> float:
        """Of `pauses`, in seconds."""
        return percentile(self.pauses, 0.99) if self.pauses else 0.0


async def on_a_stand(
    scenario: Scenario, folder: Path, seconds: float, random: Random, say: Callable[[str], None]
) -> Result:
    """Make a stand for one scenario, run it there, and take the stand down."""
    stand = Stand(scenario.setup, folder, say)
    if scenario.setup.small_disk and not mount_small_disk(stand.data):
        say("no disk can be mounted here: the broker's process gets a limit of file size instead")
    try:
        await stand.start()
        return await attempt(stand, scenario, seconds, random)
    finally:
        await stand.stop()
        unmount_small_disk(stand.data)


async def attempt(stand: Stand, scenario: Scenario, seconds: float, random: Random) -> Result:
    """Run a scenario's load and faults for so long, wait for the last answers, and check everything."""
    name = f"{scenario.name.replace(': ', '-').replace(' ', '-')}-{random.randrange(1 << 32):08x}"
    if not stand.setup.real_model:
        await stand.stub.behave(**{"vary": False, **scenario.behaviour})
    since = await ends(stand.status().kafka)
    began = time.time()
    injector, watch = Injector(stand, random), Watch(stand)
    clients = Clients(stand.door(), scenario.load, name, random)
    over, calm = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch.run(calm))
        lateness = tasks.create_task(_lateness(calm))
        loading = tasks.create_task(clients.run(over))
        await asyncio.sleep(_WARM_UP_S)
        await _injecting(scenario, injector, clients, seconds)
        over.set()
        await loading
        await _ready_again(injector)
        await asyncio.sleep(SLOT_S + 1)
        calm.set()
        await watching
    if lateness.result() > _LATE_S:
        injector.notes.append(f"the clients themselves were up to {lateness.result():.1f} s late")
    log = await read_back(stand.status().kafka, since)
    return _judged(scenario, time.time() - began, clients.seen, injector, watch, log)


async def _lateness(stop: asyncio.Event) -> float:
    """Return by how many seconds this process was late at the most: so much of a pause may be its own."""
    worst = 0.0
    while not stop.is_set():
        before = time.monotonic()
        await asyncio.sleep(_LOOK_S)
        worst = max(worst, time.monotonic() - before - _LOOK_S)
    return worst


async def _ready_again(injector: Injector) -> None:
    try:
        await injector.stand.until_ready()
    except StandError as error:
        injector.notes.append(f"after the faults: {error}")


async def _injecting(scenario: Scenario, injector: Injector, clients: Clients, seconds: float) -> None:
    stop = asyncio.Event()
    end = time.monotonic() + seconds
    async with asyncio.TaskGroup() as tasks:
        for fault in scenario.faults:
            tasks.create_task(fault(injector, stop))
        while (left := end - time.monotonic()) > 0.01:
            await asyncio.sleep(min(left, _TELL_EVERY_S))
            states = Counter(one.end.state for one in clients.seen if one.end)
            said = ", ".join(f"{count} {state}" for state, count in states.most_common())
            injector.stand.say(f"{len(injector.injected)} faults; {clients.asked} asked: {said}")
        stop.set()


def _judged(
    scenario: Scenario,
    seconds: float,
    seen: Sequence[Seen],
    injector: Injector,
    watch: Watch,
    log: Logbook,
) -> Result:
    violations = [*injector.broken, *check_clients(seen, log, known_texts=scenario.known_texts)]
    violations += check_commits(watch.commits, log)
    frozen = [(made.at, made.until) for made in injector.injected if made.until > made.at]
    violations += check_slots(watch.slots, seen, log, frozen)
    violations += check_share(seen, scenario.enough)
    return Result(scenario, seconds, seen, injector.injected, violations, injector.notes, watch.memory)


def slope(points: Sequence[Usage]) -> float:
    """Bytes a minute by which a process has grown, over the life of its last pid; least squares."""
    last = [(moment, used) for moment, pid, used in points if pid == points[-1][1]]
    if len(last) < 2:
        return 0.0
    middle = sum(moment for moment, _ in last) / len(last)
    mean = sum(used for _, used in last) / len(last)
    spread = sum((moment - middle) ** 2 for moment, _ in last)
    return 60 * sum((moment - middle) * (used - mean) for moment, used in last) / spread if spread else 0.0

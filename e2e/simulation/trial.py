"""One seed: a stack, clients, faults for a while, then peace; and what the checker says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

from e2e.faults.asks import MIXED, Ask, Kind, Load, asks
from e2e.faults.invariants import (
    SlotSample,
    Violation,
    check_clients,
    check_commits,
    check_slots,
)
from e2e.faults.logbook import Entry, Logbook
from e2e.faults.readback import READ, entry_of
from e2e.faults.seen import Seen
from e2e.simulation import faults
from e2e.simulation.client import Client
from e2e.simulation.faults import MOST_FROZEN_S, Plan
from e2e.simulation.stack import Shape, Stack
from e2e.simulation.world import Line, Process, Stuck, World

FAULTS_S = 40.0
_QUESTIONS = 5
_PROBE_S = 15.0
"""Within so long a question has its answer when nothing goes wrong any more."""
_SAMPLED_S = 0.5
_VARYING = 0.25
"""So many stacks of a model server that writes another text at each attempt: a mix of two shows."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a seed: how many requests, what was broken, and what happened, in order of time."""

    seed: int
    requests: int
    completed: int
    violations: list[Violation]
    story: list[Line]
    entries: list[Entry]
    seconds: float
    """Of the world."""


def plan_of(seed: int) -> Plan:
    """Return what goes wrong in a seed's world."""
    return faults.draw(seed, FAULTS_S)


def run(seed: int, plan: Plan | None = None) -> Result:
    """Run one seed to its end; with another plan the same stack and clients meet other faults."""
    world = World(seed)
    try:
        return _Trial(world, seed).run(plan or plan_of(seed))
    finally:
        world.close()


class _Trial:
    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._seed = seed
        random = Random(f"shape {seed}")
        self._shape = Shape(
            replicas=random.randint(1, 3), gateways=random.randint(1, 3), varies=random.random() < _VARYING
        )
        self._clients = random.randint(2, 8)
        self._stack = Stack(world, self._shape)
        self._seen: list[Seen] = []
        self._samples: list[SlotSample] = []
        self._give_up_s = FAULTS_S + self._shape.timeout_s + 60

    def run(self, plan: Plan) -> Result:
        """Let it all happen, and judge it."""
        world = self._world
        faults.begin(self._stack, plan, FAULTS_S)
        self._sample()
        clients = world.start("clients", self._all_ask)
        broken: list[Violation] = []
        try:
            world.run(lambda: not clients.alive, self._give_up_s + 30)
        except Stuck as stuck:
            broken.append(Violation("P", "lost", "", f"the world stands still {stuck}"))
        if isinstance(clients.ended, BaseException):
            raise clients.ended
        log = Logbook(tuple(self._entries()))
        broken += self._judged(plan, log)
        completed = sum(one.end is not None and one.end.state == "completed" for one in self._seen)
        return Result(
            self._seed, len(self._seen), completed, broken, world.story, list(log.entries), world.now
        )

    async def _all_ask(self, process: Process) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._clients):
                tasks.create_task(self._ask(process, number))
            tasks.create_task(self._probe(process))

    async def _ask(self, process: Process, number: int) -> None:
        random = Random(f"client {self._seed} {number}")
        load = Load(tokens=(1, 40), shares=MIXED, loops=5)
        for one in islice(asks(load, f"s{self._seed}-{number}", random), _QUESTIONS):
            await self._client(process, one)
            await asyncio.sleep(random.uniform(0, 6))

    async def _probe(self, process: Process) -> None:
        """Ask once more when all is well again."""
        await asyncio.sleep(FAULTS_S + MOST_FROZEN_S + 5)
        await self._client(process, Ask(f"s{self._seed}-probe", Kind.STREAM, 10))

    async def _client(self, process: Process, ask: Ask) -> None:
        client = Client(self._stack.network, process, self._stack.gateways, ask, self._give_up_s)
        self._seen.append(client.seen)
        await client.ask()

    def _sample(self) -> None:
        scripts = frozenset(stream.script for stream in self._stack.model.streams)
        if scripts:
            self._samples.append(SlotSample(self._world.now_ms / 1000, scripts))
        self._world.later(_SAMPLED_S, self._sample)

    def _judged(self, plan: Plan, log: Logbook) -> Iterator[Violation]:
        yield from check_clients(self._seen, log, known_texts=not self._shape.varies)
        yield from check_commits(self._stack.cluster.commits, log)
        if not plan.strikes:
            yield from check_slots(self._samples, self._seen, log)
        for one in self._seen:
            if one.ask.key.endswith("-probe"):
                yield from _slow(one)

    def _entries(self) -> Iterator[Entry]:
        for topic in READ:
            for record in self._stack.cluster.log(topic.name):
                if (entry := entry_of(record, topic)) is not None:
                    yield entry


def _slow(probe: Seen) -> Iterator[Violation]:
    end = probe.end
    if end is None or end.state != "completed" or end.moment - probe.asked > _PROBE_S:
        said = f"{end.state} {end.code} after {end.moment - probe.asked:.1f} s" if end else "nothing"
        yield Violation("P", "lost", probe.ask.key, f"asked when all was well again, and got: {said}")

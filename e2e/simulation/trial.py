"""One seed: a stack, clients, faults for a while, then peace; and what the checker says."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from random import seed as seed_random

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
from e2e.simulation.checks import CHECKS
from e2e.simulation.client import Client
from e2e.simulation.faults import Plan
from e2e.simulation.stack import Shape, Stack
from e2e.simulation.world import Line, Process, Stuck, World
from penstock.messages.topics import CHAT_RESPONSES

_QUESTIONS = 8
_SETTLES_S = 6.0
"""So long after the last fault groups have settled."""
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
    seen: list[Seen]
    seconds: float
    """Of the world."""


def plan_of(seed: int) -> Plan:
    """Return what goes wrong in a seed's world."""
    return faults.draw(seed)


def run(seed: int, plan: Plan | None = None) -> Result:
    """Run one seed to its end; with another plan the same stack and clients meet other faults."""
    world = World(seed)
    seed_random(seed)  # tenacity's jitter comes from there
    gc.collect()
    gc.freeze()  # what is not of this world
    gc.disable()
    try:
        return _Trial(world, seed, plan or plan_of(seed)).run()
    finally:
        world.close()
        gc.unfreeze()
        gc.enable()


class _Trial:
    def __init__(self, world: World, seed: int, plan: Plan) -> None:
        self._world = world
        self._plan = plan
        self._seed = seed
        random = Random(f"shape {seed}")
        self._shape = Shape(
            replicas=random.randint(1, 3),
            gateways=random.randint(1, 3),
            slots=random.choice((2, 3, 8)),
            timeout_s=random.choice((6.0, 12.0, 30.0)),
            varies=random.random() < _VARYING,
        )
        self._clients = random.randint(2, 8)
        self._stack = Stack(world, self._shape)
        self._seen: list[Seen] = []
        self._samples: list[SlotSample] = []
        self._give_up_s = plan.seconds + self._shape.timeout_s + 60

    def run(self) -> Result:
        """Let it all happen, and judge it."""
        world = self._world
        faults.begin(self._stack, self._plan)
        self._sample()
        clients = world.start("clients", self._all_ask)
        broken: list[Violation] = []
        try:
            world.run(lambda: not clients.alive, self._give_up_s + 30)
        except Stuck as stuck:
            broken.append(Violation("P", "lost", "", f"the world stands still {stuck}"))
        if isinstance(clients.ended, BaseException):
            raise clients.ended
        gc.collect()  # what a process has dropped and not closed complains now
        log = Logbook(tuple(self._entries()))
        broken += self._judged(log)
        completed = sum(one.end is not None and one.end.state == "completed" for one in self._seen)
        return Result(
            self._seed,
            len(self._seen),
            completed,
            broken,
            world.story,
            list(log.entries),
            self._seen,
            world.now,
        )

    async def _all_ask(self, process: Process) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._clients):
                tasks.create_task(self._ask(process, number))
        await self._probe(process)
        end = self._world.now + self._shape.timeout_s + _SETTLES_S
        await self._until(lambda: not self._open() or self._world.now > end)

    def _open(self) -> bool:
        """Whether a request that somebody left has no end yet."""
        left = {one.request_id for one in self._seen if one.end and one.end.state == "left"}
        answers = (entry_of(one, CHAT_RESPONSES) for one in self._stack.cluster.log(CHAT_RESPONSES.name))
        ended = {one.request_id for one in answers if one is not None and one.event.TERMINAL}
        return bool(left - ended)

    async def _ask(self, process: Process, number: int) -> None:
        random = Random(f"client {self._seed} {number}")
        load = Load(tokens=(1, 20), shares=MIXED, loops=5)
        for one in islice(asks(load, f"s{self._seed}-{number}", random), _QUESTIONS):
            await self._until(lambda: self._stack.intake)
            await self._client(process, one)
            await asyncio.sleep(random.uniform(0, 1))

    async def _probe(self, process: Process) -> None:
        """Ask once more when all is well again."""
        stack = self._stack
        await self._until(lambda: stack.intake and self._world.now >= stack.calm_at + _SETTLES_S)
        await self._client(process, Ask(f"s{self._seed}-probe", Kind.STREAM, 10))

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():  # noqa: ASYNC110  # of the world, which sets no events
            await asyncio.sleep(0.2)

    async def _client(self, process: Process, ask: Ask) -> None:
        client = Client(self._stack.network, process, self._stack.gateways, ask, self._give_up_s)
        self._seen.append(client.seen)
        await client.ask()

    def _sample(self) -> None:
        scripts = frozenset(stream.script for stream in self._stack.model.streams)
        if scripts:
            self._samples.append(SlotSample(self._world.now_ms / 1000, scripts))
        self._stack.weigh()
        self._world.later(_SAMPLED_S, self._sample)

    def _judged(self, log: Logbook) -> Iterator[Violation]:
        yield from check_clients(self._seen, log, known_texts=not self._shape.varies)
        yield from check_commits(self._stack.cluster.commits, log)
        if not self._plan.strikes:
            yield from check_slots(self._samples, self._seen, log)
        for check in CHECKS:
            yield from check(self._stack, log)
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

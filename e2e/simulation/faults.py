"""What goes wrong in a world: drawn from its seed, which kinds and how often.

Each world has about half of the kinds (swarm testing, Groce et al., ISSTA 2012): what one kind of fault
hides, another world shows. All strikes are drawn in advance, so that a world can be run again with fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from e2e.simulation.kafka.link import Weather
from e2e.simulation.stack import Stack

MOST_FROZEN_S = 25.0
"""Longer than a session of the group: others have taken over by then."""
_MEAN_S = (0.7, 15.0)
"""Between two strikes of one kind: from often to seldom."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault: when, of which kind, and two numbers from 0 to 1 that say where and how hard."""

    at: float
    kind: str
    where: float
    how: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All that goes wrong in a world, in order of time; and its weather as long as it does."""

    strikes: Sequence[Strike]
    weather: Weather


def draw(seed: int, seconds: float) -> Plan:
    """Draw the faults of a world, which end after so many seconds."""
    random = Random(f"faults {seed}")
    strikes: list[Strike] = []
    for kind in [kind for kind in KINDS if random.random() < 0.5]:
        mean_s, at = random.uniform(*_MEAN_S), 0.0
        while (at := at + random.expovariate(1 / mean_s)) < seconds:
            strikes.append(Strike(at, kind, random.random(), random.random()))
    weather = Weather()
    if random.random() < 0.5:
        weather.slow_share, weather.slow_s = random.uniform(0, 0.05), random.uniform(0.01, 2)
    if random.random() < 0.3:
        weather.lost_share = random.uniform(0, 0.02)
    return Plan(sorted(strikes, key=lambda one: one.at), weather)


def begin(stack: Stack, plan: Plan, seconds: float) -> None:
    """Let all strikes of a plan happen, and its weather last for so many seconds."""
    stack.cluster.weather.become(plan.weather)
    for strike in plan.strikes:
        stack.world.at(strike.at, lambda strike=strike: KINDS[strike.kind](stack, strike))  # type: ignore[misc]
    stack.world.at(seconds, stack.heal)


def _crash(stack: Stack, strike: Strike) -> None:
    process = stack.process_at(strike.where)
    stack.world.tell(process.name, "is killed")
    process.crash()
    stack.world.later(0.05 + 8 * strike.how, lambda: stack.start(process.name))


def _freeze(stack: Stack, strike: Strike) -> None:
    process, seconds = stack.process_at(strike.where), MOST_FROZEN_S * strike.how**3
    stack.world.tell(process.name, f"stands still for {seconds:.1f} s")
    process.freeze(seconds)


def _cut(stack: Stack, strike: Strike) -> None:
    process, seconds = stack.process_at(strike.where), MOST_FROZEN_S * strike.how**3
    stack.world.tell(process.name, f"does not reach Kafka for {seconds:.1f} s")
    stack.cut(process, seconds)


def _elect(stack: Stack, strike: Strike) -> None:
    partitions = sorted(stack.cluster.logs)
    partition = partitions[int(strike.where * len(partitions))]
    seconds, cut = 3 * strike.how, int(strike.how * 1000) % 2 == 0
    tail = ", and loses what was not replicated" if cut else ""
    stack.world.tell("kafka", f"{partition.topic}/{partition.number} has no leader for {seconds:.1f} s{tail}")
    stack.cluster.lose_leader(partition, seconds, cut=cut)


def _kill_model(stack: Stack, strike: Strike) -> None:
    seconds = 0.1 + 5 * strike.how
    stack.world.tell("model server", f"dies for {seconds:.1f} s")
    stack.model.crash(seconds)


def _stall_model(stack: Stack, strike: Strike) -> None:
    seconds = 1 + 29 * strike.how
    stack.world.tell("model server", f"writes nothing for {seconds:.1f} s")
    stack.model.stall_until = stack.world.now + seconds


KINDS: dict[str, Callable[[Stack, Strike], None]] = {
    "crash": _crash,
    "freeze": _freeze,
    "cut": _cut,
    "elect": _elect,
    "kill model": _kill_model,
    "stall model": _stall_model,
}

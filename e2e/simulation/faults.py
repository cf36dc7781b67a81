"""What goes wrong in a world: drawn from its seed, which kinds and how often.

Each world has some of the kinds (swarm testing, Groce et al., ISSTA 2012): what one kind of fault
hides, another world shows. All strikes are drawn in advance, so that a world can be run again with fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from e2e.simulation.kafka.link import Weather
from e2e.simulation.releases import RELEASES
from e2e.simulation.stack import Stack
from e2e.simulation.world import Process
from penstock.messages.topics import CHAT_RETRIEVED, CHAT_TOKENIZED

_STEPS = ("join", "sync", "committed", "offsets", "heartbeat", "commit", "produce")
_FORGOTTEN = (CHAT_TOKENIZED, CHAT_RETRIEVED)
"""What nobody reads again once it is done: the other topics of the line are read back."""

_LONGEST_S = 10.0
"""So long a process stands still or is cut off at most: others have taken over by then."""
_MEAN_S = (0.3, 6.0)
"""Between two strikes of one kind: from often to seldom."""
_LASTS_S = (3.0, 15.0)
"""How long it goes on in a world."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault: when, of which kind, and two numbers from 0 to 1 that say where and how hard."""

    at: float
    kind: str
    where: float
    how: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All that goes wrong in a world, in order of time; and its weather as long as it does, in seconds."""

    strikes: Sequence[Strike]
    weather: Weather
    seconds: float


def draw(seed: int) -> Plan:
    """Draw the faults of a world."""
    random = Random(f"faults {seed}")
    seconds = random.uniform(*_LASTS_S)
    strikes: list[Strike] = []
    for kind in [kind for kind in KINDS if random.random() < 0.4]:
        mean_s, at = random.uniform(*_MEAN_S), 0.0
        while (at := at + random.expovariate(1 / mean_s)) < seconds:
            strikes.append(Strike(at, kind, random.random(), random.random()))
    strikes += [
        Strike(random.uniform(0, seconds), kind, random.random(), random.random())
        for kind in ONCE
        if random.random() < 0.1
    ]
    weather = Weather()
    if random.random() < 0.5:
        weather.slow_share, weather.slow_s = random.uniform(0, 0.05), random.uniform(0.01, 2)
    if random.random() < 0.3:
        weather.lost_share = random.uniform(0, 0.02)
    return Plan(sorted(strikes, key=lambda one: one.at), weather, seconds)


def begin(stack: Stack, plan: Plan) -> None:
    """Let all strikes of a plan happen, and its weather last."""
    stack.cluster.weather.become(plan.weather)
    for strike in plan.strikes:
        action = KINDS.get(strike.kind) or ONCE[strike.kind]
        stack.world.at(strike.at, partial(action, stack, strike))
    stack.world.at(plan.seconds, stack.heal)
    stack.calm_at = plan.seconds


def _process(stack: Stack, strike: Strike) -> Process:
    return stack.process_at(strike.where)


def _long(strike: Strike) -> float:
    """Return for how long: mostly short, some longer than a session of the group."""
    return _LONGEST_S * strike.how**3


def _crash(stack: Stack, strike: Strike) -> None:
    stack.crash(_process(stack, strike), 0.05 + 4 * strike.how)


def _freeze(stack: Stack, strike: Strike) -> None:
    stack.freeze(_process(stack, strike), _long(strike))


def _cut(stack: Stack, strike: Strike) -> None:
    stack.cut(_process(stack, strike), _long(strike))


def _at_step(stack: Stack, strike: Strike) -> None:
    """Kill or freeze a process when it next sends a request of some kind, or has the answer to one."""
    process, random = _process(stack, strike), Random(f"step {strike.how}")
    if random.random() < 0.5:  # those that own what they write have more steps to go wrong at
        process = random.choice(stack.replicas("generation"))
    step, passes, seconds = random.choice(_STEPS), random.randint(0, 3), random.uniform(0, _LONGEST_S)
    if random.random() < 0.5:
        stack.at_step(process, step, passes, lambda: stack.crash(process, seconds / 4))
    else:
        stack.at_step(process, step, passes, lambda: stack.freeze(process, seconds))


def _stop(stack: Stack, strike: Strike) -> None:
    process = _process(stack, strike)
    stack.world.tell(process.name, "is told to end")
    process.terminate()
    stack.lasts(5)


def _elect(stack: Stack, strike: Strike) -> None:
    partitions = sorted(stack.cluster.logs)
    partition = partitions[int(strike.where * len(partitions))]
    seconds, cut = 2 * strike.how, int(strike.how * 1000) % 2 == 0
    tail = ", and loses what was not replicated" if cut else ""
    stack.world.tell("kafka", f"{partition.topic}/{partition.number} has no leader for {seconds:.1f} s{tail}")
    stack.cluster.lose_leader(partition, seconds, cut=cut)
    stack.lasts(seconds)


def _slow_disk(stack: Stack, strike: Strike) -> None:
    cluster, seconds = stack.cluster, 5 * strike.how
    cluster.slow_until, cluster.disk_s = stack.world.now + seconds, 2 * strike.where
    stack.world.tell("kafka", f"takes up to {cluster.disk_s:.1f} s for a batch, for {seconds:.1f} s")
    stack.lasts(seconds)


def _set_clock(stack: Stack, strike: Strike) -> None:
    step_ms = round((strike.how - 0.5) * 10_000)
    stack.world.tell("kafka", f"its clock is set by {step_ms} ms")
    stack.broker_ahead_ms += step_ms


def _forget(stack: Stack, strike: Strike) -> None:
    topic = _FORGOTTEN[int(strike.where * len(_FORGOTTEN))].name
    stack.world.tell("kafka", f"forgets what is done of {topic}")
    stack.cluster.forget_done(topic)


def _kill_model(stack: Stack, strike: Strike) -> None:
    seconds = 0.1 + 3 * strike.how
    stack.world.tell("model server", f"dies for {seconds:.1f} s")
    stack.model.crash(seconds)
    stack.lasts(seconds)


def _stall_model(stack: Stack, strike: Strike) -> None:
    seconds = 1 + 9 * strike.how
    stack.world.tell("model server", f"writes nothing for {seconds:.1f} s")
    stack.model.stall_until = stack.world.now + seconds


def _upgrade(stack: Stack, strike: Strike) -> None:
    release = sorted(RELEASES)[int(strike.where * len(RELEASES))]
    stack.world.tell("world", f"all processes are replaced by those of the release {release!r}")
    stack.upgrade(release)


def _grow(stack: Stack, strike: Strike) -> None:
    stack.world.tell("world", "no new questions, until the topics have grown")
    stack.grow(1 + int(4 * strike.how))


KINDS: dict[str, Callable[[Stack, Strike], None]] = {
    "crash": _crash,
    "freeze": _freeze,
    "cut": _cut,
    "at step": _at_step,
    "stop": _stop,
    "elect": _elect,
    "slow disk": _slow_disk,
    "forget": _forget,
    "kill model": _kill_model,
    "stall model": _stall_model,
}
ONCE: dict[str, Callable[[Stack, Strike], None]] = {
    "set clock": _set_clock,
    "upgrade": _upgrade,
    "grow": _grow,
}
"""What happens once in a world, and in one of ten."""

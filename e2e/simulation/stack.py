"""The whole line in one world: cluster, model server, replicas of each service, gateways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from e2e.simulation.gateway import Front, Keys, answers
from e2e.simulation.kafka.cluster import Cluster
from e2e.simulation.kafka.link import Weather
from e2e.simulation.model_server import ModelServer
from e2e.simulation.network import Network
from e2e.simulation.services import MAINS, Site
from e2e.simulation.world import Main, Process, World
from penstock.messages.topics import (
    CHAT_GENERATED,
    CHAT_REQUESTS,
    CHAT_RETRIEVED,
    CHAT_TOKENIZED,
    TOPICS,
)

_RESTART_S = (0.5, 3.0)
"""How long a supervisor takes to restart a process that has exited."""
_GROWING = tuple(topic.name for topic in (CHAT_REQUESTS, CHAT_TOKENIZED, CHAT_RETRIEVED, CHAT_GENERATED))
_UPGRADE_S = 1.0
"""Between two processes that a rolling upgrade replaces."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a stack is. `drift`: by how much a process's clock may run wrong, as a share."""

    replicas: int = 2
    gateways: int = 2
    slots: int = 8
    token_s: float = 0.06
    timeout_s: float = 30.0
    session_ms: int = 3_000
    metadata_s: float = 2.0
    skew_ms: int = 2_000
    drift: float = 1e-3
    varies: bool = False
    """Whether the model server writes another text at each attempt."""


class Stack:
    """Processes by name; one that exits is restarted."""

    def __init__(self, world: World, shape: Shape) -> None:
        self.world = world
        self.broker_ahead_ms = 0
        """By how much the brokers' clock is ahead of the true time."""
        self.cluster = Cluster(world, world.random, lambda: world.now_ms + self.broker_ahead_ms, Weather())
        self.cluster.make_topics(TOPICS)
        self.cluster.metadata_s = shape.metadata_s
        self.model = ModelServer(world, shape.slots, shape.token_s, varies=shape.varies)
        self.network = Network(world, Weather())
        self.processes: dict[str, Process] = {}
        self.intake = True
        """Whether clients may ask something new."""
        self.has_grown = False
        self.calm_at = 0.0
        """From when on nothing is wrong any more."""
        self.most_pending: Counter[str] = Counter()
        """By process: how many bytes were not acknowledged at most."""
        self._shape = shape
        skew = partial(world.random.randint, -shape.skew_ms, shape.skew_ms)
        self._site = Site(world, self.cluster, self.model, skew, shape.session_ms)
        front = Front(self.network, Keys(), shape.timeout_s)
        self._mains: dict[str, Main] = {
            f"{service}-{number}": partial(main, self._site)
            for service, main in MAINS.items()
            for number in range(shape.replicas)
        }
        self.gateways = [f"gateway-{number}" for number in range(shape.gateways)]
        self._mains |= {name: partial(answers, self._site, front) for name in self.gateways}
        for name in self._mains:
            self.start(name)

    def start(self, name: str) -> None:
        """Start a process, unless it runs."""
        before = self.processes.get(name)
        if before is not None and before.alive:
            return
        drift = self.world.random.uniform(-self._shape.drift, self._shape.drift)
        process = self.processes[name] = self.world.start(name, self._mains[name], drift)
        process.at_end(lambda: self._ended(process))

    def process_at(self, where: float) -> Process:
        """Return one of the processes, by a number from 0 to 1; it may just be down."""
        names = list(self._mains)
        return self.processes[names[int(where * len(names))]]

    def replicas(self, service: str) -> list[Process]:
        """Return the processes of a service, some of which may just be down."""
        return [process for name, process in self.processes.items() if name.startswith(f"{service}-")]

    def crash(self, process: Process, seconds: float) -> None:
        """Kill a process, and start it again after so many seconds."""
        self.world.tell(process.name, "is killed")
        process.crash()
        self.lasts(seconds)
        self.world.later(seconds, lambda: self.start(process.name))

    def freeze(self, process: Process, seconds: float) -> None:
        """Let a process stand still."""
        self.world.tell(process.name, f"stands still for {seconds:.1f} s")
        process.freeze(seconds)
        self.lasts(seconds)

    def cut(self, process: Process, seconds: float) -> None:
        """Let nothing pass between a process and the cluster."""
        self.world.tell(process.name, f"does not reach Kafka for {seconds:.1f} s")
        broker = self._site.brokers.get(process)
        for link in broker.links if broker else ():
            link.cut_until = max(link.cut_until, self.world.now + seconds)
        self.lasts(seconds)

    def at_step(self, process: Process, step: str, passes: int, action: Callable[[], object]) -> None:
        """Do something at a step of Kafka's protocol that a process takes (e2e.simulation.kafka.link)."""
        if (broker := self._site.brokers.get(process)) is not None:
            broker.trap(step, passes, action)

    def upgrade(self, release: str) -> None:
        """Replace the processes one by one by those of another release."""
        self._site.release = release
        for place, name in enumerate(self._mains):
            self.world.later(place * _UPGRADE_S, lambda name=name: self.processes[name].terminate())  # type: ignore[misc]
        self.lasts(len(self._mains) * _UPGRADE_S + _RESTART_S[1])

    @property
    def calm_ms(self) -> int:
        """Return `calm_at` by the brokers' clock, Unix ms."""
        return self.world.now_ms + round((self.calm_at - self.world.now) * 1000) + self.broker_ahead_ms

    def grow(self, more: int) -> None:
        """Give the line's topics more partitions, as ADR 16 says: when no request is open.

        Gateways are replaced by those that know the new number, and intake begins again.
        """
        self.intake = False
        self.lasts(1)
        if not self.cluster.is_done(_GROWING):
            self.world.later(0.5, lambda: self.grow(more))
            return
        self.has_grown = True
        for topic in _GROWING:
            self.cluster.grow(topic, self.cluster.partitions(topic) + more)
        self.world.tell("kafka", f"the line's topics have {more} partitions more")
        old = [self.processes[name] for name in self.gateways]
        for gateway in old:
            gateway.terminate()
        self._begin_intake(old, self.world.now + self._shape.metadata_s + 1)

    def _begin_intake(self, old: Sequence[Process], earliest: float) -> None:
        """Take questions again when producers know the new number, and the old gateways have ended."""
        self.intake = self.world.now >= earliest and not any(gateway.alive for gateway in old)
        if not self.intake:
            self.lasts(1)
            self.world.later(0.5, lambda: self._begin_intake(old, earliest))

    def lasts(self, seconds: float) -> None:
        """Take note that something goes wrong for so long from now."""
        self.calm_at = max(self.calm_at, self.world.now + seconds)

    def weigh(self) -> None:
        """Take note of how much each process holds."""
        for name, process in self.processes.items():
            broker = self._site.brokers.get(process)
            pending = sum(one.pending for one in broker.producers) if broker and process.alive else 0
            self.most_pending[name] = max(self.most_pending[name], pending)

    def heal(self) -> None:
        """End the weather, and what is wrong with the model server."""
        self.world.tell("world", "faults end")
        self.cluster.weather.become(Weather())
        self.model.stall_until = 0.0

    def _ended(self, process: Process) -> None:
        if process.ended:  # it has exited; a killed one is restarted by the fault that killed it
            self.world.tell(process.name, f"ends: {process.ended!r}")
            self.world.later(self.world.random.uniform(*_RESTART_S), lambda: self.start(process.name))

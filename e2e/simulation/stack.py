"""The whole line in one world: cluster, model server, replicas of each service, gateways."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from e2e.simulation.gateway import Front, Keys, answers
from e2e.simulation.kafka.cluster import Cluster
from e2e.simulation.kafka.link import Weather
from e2e.simulation.model_server import ModelServer
from e2e.simulation.network import Network
from e2e.simulation.services import MAINS, Site
from e2e.simulation.world import Main, Process, World
from penstock.messages.topics import TOPICS

_RESTART_S = (0.5, 3.0)
"""How long a supervisor takes to restart a process that has exited."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a stack is. `drift`: by how much a process's clock may run wrong, as a share."""

    replicas: int = 2
    gateways: int = 2
    slots: int = 8
    token_s: float = 0.03
    timeout_s: float = 60.0
    skew_ms: int = 2_000
    drift: float = 1e-3
    varies: bool = False
    """Whether the model server writes another text at each attempt."""


class Stack:
    """Processes by name; one that exits is restarted."""

    def __init__(self, world: World, shape: Shape) -> None:
        self.world = world
        self.cluster = Cluster(world, world.random, lambda: world.now_ms, Weather())
        self.cluster.make_topics(TOPICS)
        self.model = ModelServer(world, shape.slots, shape.token_s, varies=shape.varies)
        self.network = Network(world, Weather())
        self.processes: dict[str, Process] = {}
        self._shape = shape
        skew = partial(world.random.randint, -shape.skew_ms, shape.skew_ms)
        self._site = Site(world, self.cluster, self.model, {}, skew)
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

    def cut(self, process: Process, seconds: float) -> None:
        """Let nothing pass between a process and the cluster."""
        broker = self._site.brokers.get(process)
        for link in broker.links if broker else ():
            link.cut_until = max(link.cut_until, self.world.now + seconds)

    def heal(self) -> None:
        """End what is wrong, but for processes that stand still."""
        self.world.tell("world", "faults end")
        self.cluster.weather.become(Weather())
        self.model.stall_until = 0.0

    def _ended(self, process: Process) -> None:
        if process.ended:  # it has exited; a killed one is restarted by the fault that killed it
            self.world.tell(process.name, f"ends: {process.ended!r}")
            self.world.later(self.world.random.uniform(*_RESTART_S), lambda: self.start(process.name))

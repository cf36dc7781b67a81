"""The services as processes of a world: their own code, wired as their `main` wires it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

from e2e.simulation.broker import SimulatedBroker
from e2e.simulation.kafka.cluster import Cluster
from e2e.simulation.model_server import ModelServer, SimulatedBackend, SimulatedModel
from e2e.simulation.world import Process, World
from penstock.clients.models import NO_MODELS
from penstock.generation import main as generation
from penstock.generation.pool import Pool
from penstock.generation.settings import Settings as GenerationSettings
from penstock.messages.flows import FLOWS
from penstock.messages.topics import CHAT_RETRIEVED, CHAT_TOKENIZED
from penstock.postprocessing import main as postprocessing
from penstock.retrieval.adapters.memory import MemoryIndex
from penstock.retrieval.domain.passages import Vector
from penstock.retrieval.handler import Retriever
from penstock.retrieval.query_vectors import QueryVectors
from penstock.retrieval.relevance_floor import RelevanceFloor
from penstock.retrieval.searching import Searcher
from penstock.streaming import worker
from penstock.streaming.clock import BrokerClock
from penstock.streaming.share import Share
from penstock.streaming.stage import Each, Stage
from penstock.streaming.worker import WorkerSettings
from penstock.telemetry.readiness import Readiness
from penstock.tokenization import main as tokenization
from penstock.tokenization.settings import Settings as TokenizationSettings

S = TypeVar("S", bound=WorkerSettings)


@dataclass(slots=True)
class Site:
    """What the services of a world share. `skew_ms` tells by how much a process's clock is wrong."""

    world: World
    cluster: Cluster
    model: ModelServer
    skew_ms: Callable[[], int]
    session_ms: int
    """After how long a group gives up a silent member."""
    release: str = ""
    """To which release a process belongs that starts now (e2e.simulation.releases)."""
    brokers: dict[Process, SimulatedBroker] = field(default_factory=dict)
    """How each process comes to the cluster."""

    def broker(self, process: Process) -> SimulatedBroker:
        """Return how a process comes to the cluster."""
        if process not in self.brokers:
            self.brokers[process] = SimulatedBroker(self.world, self.cluster, process, self.release)
        return self.brokers[process]

    def clock(self) -> BrokerClock:
        """Return the clock of the process that runs: it starts wrong, drifts, and never steps."""
        began = self.world.now_ms + self.skew_ms() - asyncio.get_running_loop().time() * 1000
        loop = asyncio.get_running_loop()
        return BrokerClock(lambda: round(began + loop.time() * 1000))


async def tokenizes(site: Site, process: Process) -> None:
    """Run the tokenization service."""
    settings = _settings(TokenizationSettings, process, site)
    stage = tokenization.stage(settings, SimulatedModel(site.model))
    await _serve(site, process, "tokenization", [stage], settings)


async def retrieves(site: Site, process: Process) -> None:
    """Run the retrieval service, on an index in memory in which nothing stands."""
    vectors = QueryVectors(_NoEmbedder(), asyncio.get_running_loop().time)
    retriever = Retriever(Searcher(vectors, MemoryIndex()), RelevanceFloor(_no_model, NO_MODELS))
    stage = Stage(
        "retrieval", (CHAT_TOKENIZED,), Each(retriever.retrieve, lambda: 32), failures=CHAT_RETRIEVED
    )
    settings = _settings(WorkerSettings, process, site)
    await _serve(site, process, "retrieval", [stage], settings)


async def generates(site: Site, process: Process) -> None:
    """Run the generation service."""
    settings = _settings(GenerationSettings, process, site)
    loop, stop, clock = asyncio.get_running_loop(), process.stop, site.clock()
    pool = Pool([SimulatedBackend(site.model, process)], loop.time)
    pool.share(Share())
    parts = generation.assemble(settings, pool, site.broker(process), clock)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.watch(stop))
        tasks.create_task(parts.cancellations.run(stop))
        await _serve(site, process, "generation", [parts.stage], settings, clock)


async def postprocesses(site: Site, process: Process) -> None:
    """Run the postprocessing service."""
    settings = _settings(WorkerSettings, process, site)
    await _serve(site, process, "postprocessing", [postprocessing.stage(lambda _: "en")], settings)


MAINS = {
    "tokenization": tokenizes,
    "retrieval": retrieves,
    "generation": generates,
    "postprocessing": postprocesses,
}


def _settings(kind: type[S], process: Process, site: Site) -> S:
    made: S = _made(kind, process.name, site.session_ms)
    return made


@cache
def _made(kind: type[S], instance: str, session_ms: int) -> S:
    """Return settings that are the same each time; to make them takes longer than an answer does."""
    return kind(instance=instance, session_timeout_ms=session_ms)


async def _serve(
    site: Site,
    process: Process,
    service: str,
    stages: Sequence[Stage],
    settings: WorkerSettings,
    clock: BrokerClock | None = None,
) -> None:
    await worker.run_stages(
        stages,
        FLOWS[service],
        settings,
        Readiness(worker.KAFKA),
        process.stop,
        clock or site.clock(),
        site.broker(process),
        asyncio.get_running_loop().time,
    )


class _NoEmbedder:
    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        raise NotImplementedError(f"{len(texts)} texts, and nothing to find")


async def _no_model() -> str:
    return ""

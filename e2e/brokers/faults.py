"""Faults of a cluster: its nodes are killed and started again, one at a time."""

from __future__ import annotations

import asyncio
from itertools import cycle

from e2e.brokers.cluster import Cluster
from e2e.faults.inject.injector import Fault, Injector

LEADER, COORDINATOR = "leader killed", "coordinator killed"
_TURNS = (
    (LEADER, "chat.generated"),
    (COORDINATOR, "generation"),
    (LEADER, "chat.responses"),
    (COORDINATOR, "postprocessing"),
    (LEADER, "chat.requests"),
    (COORDINATOR, "tokenization"),
    (LEADER, "chat.retrieved"),
    (COORDINATOR, "retrieval"),
)
_PARTITIONS = 8
"""Of each of these topics."""
_CALM_S = 4.0
_DOWN_S = 6.0


def node_deaths(cluster: Cluster) -> Fault:
    """kill -9 of the node that leads a partition, then of one that coordinates a group, and so on.

    Each turn comes once at least, however slow the machine. A node dies only when all copies are whole
    again: with two of three away nothing could be written.
    """

    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        for number, (kind, what) in enumerate(cycle(_TURNS)):
            if stop.is_set() and number >= len(_TURNS):
                return
            state = await cluster.until_whole()
            await asyncio.sleep(_CALM_S)
            partition = injector.random.randrange(_PARTITIONS)
            victim = state.coordinator(what) if kind == COORDINATOR else state.leaders[what, partition]
            cluster.nodes[victim].kill()
            injector.note(kind, f"{what}: node {victim}")
            await asyncio.sleep(_DOWN_S)
            cluster.nodes[victim].start()

    return inject

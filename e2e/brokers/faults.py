"""Faults of a cluster: its nodes are killed and started again, one at a time."""

from __future__ import annotations

import asyncio
from itertools import cycle

from e2e.brokers.cluster import Cluster
from e2e.faults.inject.injector import Fault, Injector, pause

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
_DOWN_S = 6.0
_CALM_S = 4.0


def node_deaths(cluster: Cluster) -> Fault:
    """kill -9 of the node that leads a partition, then of one that coordinates a group, and so on.

    The next one dies when all copies are whole again: with two of three away nothing could be written.
    """

    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        turns = cycle(_TURNS)
        while await pause(stop, _CALM_S):
            state = await cluster.until_whole()
            kind, what = next(turns)
            if kind == COORDINATOR:
                number = state.coordinator(what)
            else:
                number = state.leaders[what, injector.random.randrange(_PARTITIONS)]
            node = cluster.nodes[number]
            node.kill()
            injector.note(kind, f"{what}: node {number}")
            await asyncio.sleep(_DOWN_S)
            node.start()
        await cluster.until_whole()

    return inject

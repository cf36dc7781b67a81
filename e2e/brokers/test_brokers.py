"""Three Kafka nodes that die one at a time under load, with each client: nothing is lost, doubled or changed.

`make test-brokers` runs it. Minutes, and about two GB of memory.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import get_args

import pytest

from e2e.brokers.cluster import OFFSETS, running_cluster
from e2e.brokers.faults import COORDINATOR, LEADER, node_deaths
from e2e.faults.asks import MIXED, Load
from e2e.faults.logbook import Logbook
from e2e.faults.readback import ends, read_back
from e2e.faults.scenarios import TWO, Scenario
from e2e.faults.stand import Stand
from e2e.faults.trial import Result, attempt
from e2e.faults.watch import GROUPS
from penstock.messages.chat import AnswerCompleted
from penstock.messages.reading import Fence
from penstock.messages.topics import TOPICS
from penstock.streaming.adapters.kafka.cluster import committed
from penstock.streaming.connection import Client

SECONDS = 120
SEED = 11
_CAUGHT_UP_S = 30.0


@pytest.mark.parametrize("client", get_args(Client))
def test_every_client_gets_its_one_answer_whichever_node_dies(client: Client, tmp_path: Path) -> None:
    result, log, behind = asyncio.run(_run(client, tmp_path))
    assert result.passed, _told(result)
    assert _ends_but_one(log) == []
    assert behind == {}
    kinds = Counter(made.fault for made in result.injected)
    assert kinds[LEADER] >= 4, kinds
    assert kinds[COORDINATOR] >= 4, kinds
    assert result.states["completed"] > 100, result.states


async def _run(client: Client, folder: Path) -> tuple[Result, Logbook, dict[str, int]]:
    """The scenario on a cluster of its own, the whole log after it, and what groups have not read."""
    async with running_cluster(folder / "kafka") as cluster:
        settings = {"PENSTOCK_KAFKA": cluster.servers, "PENSTOCK_KAFKA_CLIENT": client}
        setup = replace(TWO, settings=settings, deadline_s=90)
        scenario = Scenario(
            f"brokers-{client}",
            "kill -9 of one of three nodes after the other",
            (node_deaths(cluster),),
            Load(shares=MIXED, streams=24),
            setup,
        )
        stand = Stand(setup, folder / "stand", print)
        try:
            await stand.penstock("topics", "create", "--replication-factor", "3")
            await stand.start()
            result = await attempt(stand, scenario, SECONDS, Random(SEED))  # noqa: S311  # drawn again
            state = await cluster.until_whole()
            assert {topic for topic, _ in state.leaders} >= {OFFSETS, *(topic.name for topic in TOPICS)}
            return result, await read_back(cluster.servers, {}), await _behind(cluster.servers)
        finally:
            await stand.stop()


async def _behind(servers: str) -> dict[str, int]:
    """How many records each group has not committed, by partition; looks until that is none."""
    deadline = asyncio.get_running_loop().time() + _CAUGHT_UP_S
    while True:
        reached = await ends(servers)
        left = {
            f"{group} {topic}/{partition.number}": end - done.get(partition, 0)
            for group, topic in GROUPS.items()
            for done in [await committed(servers, group)]
            for partition, end in reached.items()
            if partition.topic == topic and done.get(partition, 0) != end
        }
        if not left or asyncio.get_running_loop().time() > deadline:
            return left
        await asyncio.sleep(1)


def _ends_but_one(log: Logbook) -> list[str]:
    """The requests whose end does not stand exactly once in chat.generated and in chat.responses.

    An event that is written again, as at-least-once delivery may do, keeps its id and is the same end. Who
    fails or cancels a request before it is generated writes no end into chat.generated.
    """
    fences: dict[int, Fence] = defaultdict(Fence)
    found: dict[str, dict[str, set[str]]] = {
        "chat.generated": defaultdict(set),
        "chat.responses": defaultdict(set),
    }
    completed = set()
    for entry in log.entries:
        if entry.topic not in found:
            continue
        if entry.topic == "chat.generated" and not fences[entry.partition].admits(entry.epoch):
            continue
        if entry.event.TERMINAL:
            found[entry.topic][entry.request_id].add(entry.event_id)
        if isinstance(entry.event, AnswerCompleted):
            completed.add(entry.request_id)
    return [
        f"{request}: {len(ends)} ends in {topic}"
        for request in log.questions()
        for topic, by_request in found.items()
        for ends in [by_request[request]]
        if len(ends) != 1 and (ends or topic == "chat.responses" or request in completed)
    ]


def _told(result: Result) -> str:
    lines = [f"{v.rule} {v.sort} {v.request}: {v.found}" for v in result.violations[:10]]
    return "\n".join([f"{result.states} under {len(result.injected)} faults", *lines, *result.notes[:10]])

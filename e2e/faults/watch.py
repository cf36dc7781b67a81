"""Looks at the stand while it is under load: backend slots, committed offsets, memory."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import httpx2
import kafka
import psutil
from kafka import errors

from e2e.faults.invariants import Committed, SlotSample
from e2e.faults.readback import PARTITIONS
from e2e.faults.stand import Stand, StandError

GROUPS = {
    "tokenization": "chat.requests",
    "retrieval": "chat.tokenized",
    "generation": "chat.retrieved",
    "postprocessing": "chat.generated",
}
_SLOTS_EVERY_S = 0.5
_COMMITS_EVERY_S = 1.0
_MEMORY_EVERY_S = 5.0


class Watch:
    """What was seen meanwhile. `memory` has bytes by process name, one list a name, in order of time."""

    def __init__(self, stand: Stand) -> None:
        self.slots: list[SlotSample] = []
        self.commits: list[Committed] = []
        self.memory: dict[str, list[tuple[float, int, int]]] = defaultdict(list)
        self._stand = stand

    async def run(self, stop: asyncio.Event) -> None:
        """Look around until `stop` is set."""
        async with asyncio.TaskGroup() as tasks:
            for look, seconds in (
                (self._look_at_slots, _SLOTS_EVERY_S),
                (self._look_at_commits, _COMMITS_EVERY_S),
                (self._look_at_memory, _MEMORY_EVERY_S),
            ):
                tasks.create_task(_repeat(look, seconds, stop))

    async def _look_at_slots(self) -> None:
        if self._stand.setup.real_model:
            return
        asked = time.time()  # under load the answer may take a while to get here, and be as old
        try:
            running = await self._stand.stub.running()
        except httpx2.HTTPError:
            return  # it was killed a moment ago
        self.slots.append(SlotSample(asked, frozenset(one.script for one in running if one.script)))

    async def _look_at_commits(self) -> None:
        try:
            bootstrap = self._stand.status().kafka
            self.commits += await asyncio.to_thread(_committed, bootstrap)
        except (errors.KafkaError, StandError, OSError):
            return  # the broker was killed a moment ago

    async def _look_at_memory(self) -> None:
        for service in self._stand.status().services:
            if service.pid is not None:
                try:
                    used = psutil.Process(service.pid).memory_info().rss
                except psutil.Error:
                    continue
                self.memory[service.name].append((time.time(), service.pid, used))


async def _repeat(look: Any, seconds: float, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await look()
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            continue


def _committed(bootstrap: str) -> Sequence[Committed]:
    """First what is committed, then how far the log reaches: a commit comes after what it stands for."""
    admin = kafka.KafkaAdminClient(
        bootstrap_servers=bootstrap, bootstrap_timeout_ms=2_000, request_timeout_ms=5_000
    )
    try:
        groups = admin.list_group_offsets(list(GROUPS))
        wanted = {kafka.TopicPartition(*partition): -1 for partition in PARTITIONS}
        found = admin.list_partition_offsets(wanted, timeout_ms=3_000)
    finally:
        admin.close()
    reached = {(tp.topic, tp.partition): place.offset for tp, place in found.items()}
    return [
        Committed(group, tp.topic, tp.partition, place.offset, reached)
        for group, offsets in groups.items()
        for tp, place in offsets.items()
        if tp.topic == GROUPS[group] and place.offset > 0
    ]

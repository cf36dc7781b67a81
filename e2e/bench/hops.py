"""What one hop over Kafka takes: a chain of five topics with four relays that do nothing else.

Each client of Kafka in turn, on one embedded broker that nobody else uses. A hop is a send and the read of
it; the time of a record is that from its first send to its last read, divided by the five hops.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import get_args

import msgspec
from rich.console import Console

from e2e.bench.errors import BenchError
from e2e.bench.figures import percentile
from e2e.bench.plan import Plan
from e2e.bench.processes import Processes
from e2e.bench.turns import rotated
from penstock.devstack.death import die_with_parent
from penstock.devstack.kafka import running_broker
from penstock.devstack.root import find_root
from penstock.messages.topics import Topic
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.admin.topics import ensure_topics
from penstock.streaming.connection import Client, KafkaConnection
from penstock.streaming.ports import Partition

CLIENTS: tuple[Client, ...] = get_args(Client)
HOPS = 5
_RELAYS = HOPS - 1
_EVERY_S = 0.02
_WARM = 50
"""Records before those that count."""
_VALUE = b"x" * 200
_START_S = 60.0
_POLL_S = 0.5


class HopRound(msgspec.Struct, frozen=True):
    """One chain: milliseconds a hop, and of processor time a record in a relay."""

    hop_ms: float
    hop_p99_ms: float
    relay_cpu_ms: float


async def measure(console: Console, folder: Path, plan: Plan) -> dict[str, list[HopRound]]:
    """Run the chains, the clients taking turns."""
    found: dict[str, list[HopRound]] = {client: [] for client in CLIENTS}
    with running_broker(folder) as broker:
        for number, order in enumerate(rotated(CLIENTS, plan.hop_rounds)):
            for client in order:
                console.print(f"    {client}, round {number + 1}")
                cluster = KafkaConnection(broker.bootstrap, client=client)
                found[client].append(await _chain(cluster, f"{client}-{number}", plan.hop_records))
    return found


async def _chain(cluster: KafkaConnection, name: str, count: int) -> HopRound:
    topics = [f"{name}-{place}" for place in range(HOPS)]
    await ensure_topics(cluster, [Topic(topic, 1, ()) for topic in topics])
    async with AsyncExitStack() as relays:
        pids = {
            source: await relays.enter_async_context(_relay(cluster, source, target))
            for source, target in pairwise(topics)
        }
        processes = Processes(pids)
        await _pass(cluster, topics, _WARM)
        before = processes.cpu_ms()
        taken = await _pass(cluster, topics, count)
        spent = sum(now - before[name] for name, now in processes.cpu_ms().items() if name in pids)
    hops = [1000 * seconds / HOPS for seconds in taken]
    return HopRound(median(hops), percentile(hops, 0.99), spent / _RELAYS / count)


@asynccontextmanager
async def _relay(cluster: KafkaConnection, source: str, target: str) -> AsyncIterator[int]:
    """A relay that has its partition; its pid."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "e2e.bench.relay", cluster.client, cluster.servers, source, target),
        cwd=find_root(),
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent(os.getpid()),
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START_S):
            if not await process.stdout.readline():
                raise BenchError(f"A relay by {cluster.client} ended with code {await process.wait()}")
        yield process.pid
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _pass(cluster: KafkaConnection, topics: list[str], count: int) -> list[float]:
    """Send records through the chain, one every 20 ms, and return how many seconds each took."""
    producer = await open_producer(cluster, topics[:1])
    reader = await open_reader(cluster, [Partition(topics[-1], 0)], "end")
    sent: list[float] = []
    taken: list[float] = []

    async def send() -> None:
        begin = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(begin + number * _EVERY_S - time.perf_counter())
            sent.append(time.perf_counter())
            producer.send(topics[0], None, _VALUE, [])

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(_START_S + count * _EVERY_S):
            while len(taken) < count:
                records = await reader.poll(_POLL_S)
                now = time.perf_counter()
                taken += [now - sent[len(taken) + place] for place in range(len(records))]
    except TimeoutError as error:
        raise BenchError(f"Of {count} records {len(taken)} came through the chain") from error
    finally:
        sending.cancel()
        await producer.close()
        await reader.close()
    return taken

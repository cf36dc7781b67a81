"""Part one: what Penstock adds to a model server whose every delay is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import httpx2

from e2e.bench.figures import Latency, Reply, interleaved
from e2e.bench.load import closed_loop, wave
from e2e.bench.plan import Plan, Step
from e2e.bench.processes import STUB, Memory, Processes
from e2e.bench.questions import DIFFERENT, capture_prompts, messages
from e2e.bench.saturation import Saturation, saturate
from e2e.bench.stacks import Stack, StubProcess
from e2e.bench.targets import Direct, Target, Through, new_client

_SLOTS = 256


@dataclass(frozen=True)
class Latencies:
    """Both arms at one number of streams."""

    streams: int
    direct: Latency
    through: Latency


@dataclass(frozen=True)
class StubResults:
    """Everything of this part; `memory` is after the load."""

    latencies: tuple[Latencies, ...]
    saturation: Saturation
    memory: Mapping[str, Memory]


async def measure(stack: Stack, stub: StubProcess, plan: Plan) -> StubResults:
    """Run this part against a stack whose model server is the stub, with documents in its index."""
    processes = Processes({**stack.pids, STUB: stub.pid})
    async with new_client() as client:
        through = Through(client, stack.gateway, stack.key, stack.model, messages, words_are_tokens=True)
        await tell(client, stub, first_ms=1, inter_ms=1, tokens=10_000, slots=_SLOTS)
        prompts = await capture_prompts(stack.kafka, through, DIFFERENT, passages=True)
        arms = (Direct(client, stub.url, prompts), through)
        for arm in arms:
            await wave(arm, 16, 16, DIFFERENT)
        await tell(client, stub, first_ms=plan.first_ms, inter_ms=plan.inter_ms)
        latencies = []
        for step in plan.latency:
            stack.say(f"latency at {step.streams} streams")
            latencies.append(await _latency(arms, step, plan))
        await tell(client, stub, first_ms=plan.flood_inter_ms, inter_ms=plan.flood_inter_ms)
        stack.say(f"saturation with {plan.flood.streams} streams")
        saturation = await saturate(arms, plan.flood, plan.flood_rounds, processes)
    return StubResults(tuple(latencies), saturation, processes.memory())


async def tell(client: httpx2.AsyncClient, stub: StubProcess, **behaviour: float) -> None:
    """Change how the stub behaves."""
    (await client.put(f"{stub.url}/stub/behaviour", json=behaviour)).raise_for_status()


async def _latency(arms: tuple[Target, Target], step: Step, plan: Plan) -> Latencies:
    spread_s = (plan.first_ms + plan.inter_ms * step.tokens) / 1000
    replies: tuple[list[Reply], list[Reply]] = ([], [])
    numbers = count(0, step.streams * step.each)
    for order in interleaved(step.rounds):
        for arm in order:
            first = next(numbers)
            replies[arm].extend(
                await closed_loop(arms[arm], step.streams, step.each, step.tokens, spread_s, first)
            )
    return Latencies(step.streams, Latency.of(replies[0]), Latency.of(replies[1]))

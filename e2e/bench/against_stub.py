"""What Penstock adds to a model server whose every delay is known, beside what a plain proxy adds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from rich.console import Console

from e2e.bench.client import Client
from e2e.bench.figures import Rounds
from e2e.bench.load import wave
from e2e.bench.plan import FIRST_MS, INTER_MS, Plan
from e2e.bench.processes import MIB, PASS_THROUGH, STUB, Processes
from e2e.bench.questions import DIFFERENT, capture_prompts, messages
from e2e.bench.stacks import Stack, serving
from e2e.bench.targets import Direct, Target, Through
from e2e.bench.turns import Turns

DIRECT, PENSTOCK = "direct", "penstock"
"""Names of the arms; the third is the pass-through proxy."""


class Step(msgspec.Struct, frozen=True):
    """All arms at one number of streams."""

    streams: int
    arms: dict[str, Rounds]


class StubFigures(msgspec.Struct, frozen=True):
    """Everything of this part; the memory of each process is that after the load."""

    steps: list[Step]
    memory_mib: dict[str, float]


async def measure(console: Console, stack: Stack, plan: Plan) -> StubFigures:
    """Run this part against a stack whose model server is the stub, with documents in its index."""
    stub, gateway = Client(stack.inference), Client(stack.gateway)
    with serving("e2e.bench.passthrough", stack.inference) as proxy:
        passing = Client(proxy.url)
        processes = Processes({**stack.pids, STUB: stack.stand.stub.pid, PASS_THROUGH: proxy.pid})
        through = Through(gateway, stack.key, stack.model, messages, words_are_tokens=True)
        await stack.stand.stub.behave(first_ms=1, inter_ms=1, slots=256)
        prompts = await capture_prompts(stack.kafka, through, DIFFERENT, passages=True)
        arms: Mapping[str, Target] = {
            DIRECT: Direct(stub, prompts),
            PASS_THROUGH: Direct(passing, prompts),
            PENSTOCK: through,
        }
        for arm in arms.values():
            await wave(arm, 16, 16, DIFFERENT)
        await stack.stand.stub.behave(first_ms=FIRST_MS, inter_ms=INTER_MS)
        turns, steps = Turns(processes), []
        for load in plan.stub:
            console.print(f"    {load.streams} streams")
            steps.append(Step(load.streams, await turns.take(arms, load, plan.stub_rounds)))
        memory = {name: one.size / MIB for name, one in processes.memory().items()}
    return StubFigures(steps, memory)


async def idle(stack: Stack, plan: Plan) -> dict[str, float]:
    """Percent of one core that each process of a stack takes of which nobody asks anything."""
    processes = Processes(stack.pids)
    await asyncio.sleep(plan.quiet_s)
    before = processes.cpu_ms()
    await asyncio.sleep(plan.idle_s)
    after = processes.cpu_ms()
    return {name: (after[name] - before[name]) / plan.idle_s / 10 for name in stack.pids}

"""Part two: the default model, driven directly and through Penstock."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import msgspec

from e2e.bench.errors import BenchError
from e2e.bench.load import Flood, wave
from e2e.bench.plan import Plan
from e2e.bench.processes import Memory, Processes
from e2e.bench.questions import capture_prompts, messages
from e2e.bench.saturation import Saturation, saturate
from e2e.bench.stacks import Stack
from e2e.bench.targets import Direct, Through, new_client
from penstock.devstack.death import die_with_parent
from penstock.devstack.root import find_root


class EngineRun(msgspec.Struct, frozen=True):
    """What `e2e.bench.engine_alone` is given, as JSON on standard input."""

    prompts: list[str]
    plan: Flood


class EngineRate(msgspec.Struct, frozen=True):
    """What it prints, as JSON."""

    tokens: int
    seconds: float


@dataclass(frozen=True)
class ModelResults:
    """Everything of this part; `memory` is of the whole stack after the load."""

    model: str
    passages: bool
    prompt_characters: int
    saturation: Saturation
    memory: Mapping[str, Memory]
    prompts: list[str]


async def measure(stack: Stack, plan: Plan, *, passages: bool) -> ModelResults:
    """Run this part against a stack with the local inference service and an empty index.

    With `passages` the sample documents are ingested first; most of the time then goes into reading prompts.
    """
    if stack.inference is None:
        raise BenchError("The stack has no inference service of its own")
    if passages:
        await stack.ingest_sample()
    streams = plan.model.streams
    processes = Processes(stack.pids)
    async with new_client() as client:
        asked = partial(messages, different=streams)
        through = Through(client, stack.gateway, stack.key, stack.model, asked, words_are_tokens=False)
        prompts = await capture_prompts(stack.kafka, through, streams, passages=passages)
        direct = Direct(client, stack.inference, prompts)
        stack.say(f"{streams} requests at once")
        await wave(direct, streams, 8, streams)
        saturation = await saturate((direct, through), plan.model, plan.model_rounds, processes)
    examples = [prompts(nth) for nth in range(8 * streams)]
    return ModelResults(
        model=stack.model,
        passages=passages,
        prompt_characters=sum(map(len, examples)) // len(examples),
        saturation=saturation,
        memory=processes.memory(),
        prompts=examples,
    )


async def engine_alone(prompts: list[str], plan: Plan) -> float:
    """Tokens a second of the same engine under the same load, without a server, in a fresh process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "e2e.bench.engine_alone",
        cwd=find_root(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent(os.getpid()),
    )
    try:
        told, _ = await process.communicate(msgspec.json.encode(EngineRun(prompts, plan.model)))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise BenchError(f"The engine alone ended with code {process.returncode}")
    rate = msgspec.json.decode(told, type=EngineRate)
    return rate.tokens / rate.seconds

"""The default model: the bare engine, the inference service asked directly, and through Penstock."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console

from e2e.bench.against_stub import DIRECT, PENSTOCK
from e2e.bench.client import Client
from e2e.bench.errors import BenchError
from e2e.bench.figures import Round
from e2e.bench.load import Load, wave
from e2e.bench.plan import Plan
from e2e.bench.processes import MIB, Processes
from e2e.bench.questions import capture_prompts, messages
from e2e.bench.stacks import ingest_sample, running_stack
from e2e.bench.targets import Direct, Target, Through
from e2e.bench.turns import Turns
from e2e.faults.stand import Setup
from penstock.devstack.death import die_with_parent
from penstock.devstack.root import find_root


class EngineRun(msgspec.Struct, frozen=True):
    """What `e2e.bench.engine_alone` is given, as JSON on standard input."""

    prompts: list[str]
    load: Load


class EngineRate(msgspec.Struct, frozen=True):
    """What it prints, as JSON."""

    tokens: int
    seconds: float


class ModelRound(msgspec.Struct, frozen=True):
    """One stack, asked both ways, and after it the bare engine."""

    direct: Round
    penstock: Round
    engine: float
    """Tokens a second of the bare engine."""


class ModelFigures(msgspec.Struct, frozen=True):
    """Everything of this part; the memory of each process is that after the load of the last round."""

    model: str
    passages: bool
    prompt_characters: int
    rounds: list[ModelRound]
    memory_mib: dict[str, float]


async def measure(console: Console, folder: Path, plan: Plan, *, passages: bool) -> ModelFigures:
    """Run this part. With `passages` the sample is ingested; most time then goes into reading prompts.

    Engine and stack take turns as whole processes, so that neither waits in the other's way.
    """
    rounds: list[ModelRound] = []
    for number in range(plan.model_rounds):
        console.print(f"    round {number + 1}: a stack")
        async with running_stack(console, folder / str(number), Setup(real_model=True)) as stack:
            if passages:
                await ingest_sample(console, stack)
            streams, processes = plan.model.streams, Processes(stack.pids)
            asked = partial(messages, different=streams)
            through = Through(Client(stack.gateway), stack.key, stack.model, asked, words_are_tokens=False)
            prompts = await capture_prompts(stack.kafka, through, streams, passages=passages)
            direct = Direct(Client(stack.inference), prompts)
            await wave(direct, streams, 8, streams)
            arms: dict[str, Target] = {DIRECT: direct, PENSTOCK: through}
            if number % 2:
                arms = dict(reversed(arms.items()))
            taken = await Turns(processes).take(arms, plan.model, 1)
            memory = {name: one.size / MIB for name, one in processes.memory().items()}
            examples = [prompts(nth) for nth in range(8 * streams)]
        console.print(f"    round {number + 1}: the engine alone")
        engine = await _engine_alone(examples, plan)
        rounds.append(ModelRound(taken[DIRECT][0], taken[PENSTOCK][0], engine))
    characters = sum(map(len, examples)) // len(examples)
    return ModelFigures(stack.model, passages, characters, rounds, memory)


async def _engine_alone(prompts: list[str], plan: Plan) -> float:
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

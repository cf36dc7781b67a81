"""Part two: the default model, driven directly and through Penstock."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count

import msgspec

from e2e.bench.errors import BenchError
from e2e.bench.figures import Rates, interleaved, wave_rate
from e2e.bench.load import wave
from e2e.bench.plan import Plan, Prompts
from e2e.bench.processes import Memory, Processes
from e2e.bench.questions import capture_prompts, messages
from e2e.bench.stacks import Stack
from e2e.bench.targets import Direct, Target, Through, new_client
from penstock.devstack.death import die_with_parent
from penstock.devstack.root import find_root


class EngineRun(msgspec.Struct, frozen=True):
    """What `e2e.bench.engine_alone` is given, as JSON on standard input."""

    prompts: list[str]
    max_new_tokens: int


class EngineRate(msgspec.Struct, frozen=True):
    """What it prints, as JSON."""

    tokens: int
    seconds: float


@dataclass(frozen=True)
class Case:
    """Both arms for one kind of prompt; `alone` is filled in when the stack has stopped."""

    name: str
    prompt_characters: int
    answer_tokens: float
    direct: Rates
    through: Rates
    prompts: list[str]
    alone: float | None = None


@dataclass(frozen=True)
class ModelResults:
    """Everything of this part; `memory` is of the whole stack after the load."""

    streams: int
    model: str
    cases: tuple[Case, ...]
    memory: Mapping[str, Memory]


async def measure(stack: Stack, plan: Plan) -> ModelResults:
    """Run this part against a stack with the local inference service and an empty index."""
    if stack.inference is None:
        raise BenchError("The stack has no inference service of its own")
    async with new_client() as client:
        asked = partial(messages, different=plan.model_streams)
        through = Through(client, stack.gateway, stack.key, stack.model, asked, words_are_tokens=False)
        cases = []
        for kind in plan.model_prompts:
            if kind.passages:
                await stack.ingest_sample()
            stack.console.print(f"    {plan.model_streams} requests at once, {kind.name}")
            prompts = await capture_prompts(stack.kafka, through, plan.model_streams, passages=kind.passages)
            direct = Direct(client, stack.inference, prompts)
            cases.append(await _case((direct, through), prompts, kind, plan))
    return ModelResults(plan.model_streams, stack.model, tuple(cases), Processes(stack.pids).memory())


async def _case(
    arms: tuple[Target, Target], prompts: Callable[[int], str], kind: Prompts, plan: Plan
) -> Case:
    streams = plan.model_streams
    rates: tuple[list[float], list[float]] = ([], [])
    lengths: list[int] = []
    # Every wave asks the same questions, under numbers of its own: no prefix is found in the cache.
    firsts = count(streams, streams)
    if kind.warm_up:
        for target in arms:
            await wave(target, streams, plan.model_tokens, next(firsts))
    for order in interleaved(kind.rounds):
        for arm in order:
            replies = await wave(arms[arm], streams, plan.model_tokens, next(firsts))
            rates[arm].append(wave_rate(replies))
            lengths += [reply.tokens for reply in replies]
    first = next(firsts)
    asked = [prompts(nth) for nth in range(first, first + streams)]
    return Case(
        name=kind.name,
        prompt_characters=sum(map(len, asked)) // streams,
        answer_tokens=sum(lengths) / len(lengths),
        direct=Rates(tuple(rates[0])),
        through=Rates(tuple(rates[1])),
        prompts=asked,
    )


async def engine_alone(case: Case, plan: Plan) -> float:
    """Tokens a second of the same engine without a server, in a fresh process, for the prompts of a case."""
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
        told, _ = await process.communicate(msgspec.json.encode(EngineRun(case.prompts, plan.model_tokens)))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise BenchError(f"The engine alone ended with code {process.returncode}")
    rate = msgspec.json.decode(told, type=EngineRate)
    return rate.tokens / rate.seconds

"""Part three: what traces cost, with every request traced and exported to the stack's observer.

Twice: with the default model, where most processor time is the model's, as it is for whoever asks it; and
against the stub, where all of it is Penstock's, which is the most that traces can cost.

Both arms are one stack: a request says by the flag in its `traceparent` whether it is traced, and all
services go by that. So nothing differs between the arms but the spans: recorded, sent, and kept by the
observer, which shares the machine. Spans are exported some seconds later, so a window opens only when those
of the other arm have left.
"""

from __future__ import annotations

from dataclasses import replace

import httpx2

from e2e.bench.against_stub import tell
from e2e.bench.load import Flood, wave
from e2e.bench.plan import Plan, Rounds
from e2e.bench.processes import STUB, Processes
from e2e.bench.questions import DIFFERENT, messages
from e2e.bench.saturation import Saturation, saturate
from e2e.bench.stacks import Stack, StubProcess
from e2e.bench.targets import Through, new_client


async def against_stub(stack: Stack, stub: StubProcess, plan: Plan) -> Saturation:
    """Flood a stack whose model server is the stub; `direct` is the arm without traces."""
    processes = Processes({**stack.pids, STUB: stub.pid})
    async with new_client() as client:
        await tell(client, stub, first_ms=plan.flood_inter_ms, inter_ms=plan.flood_inter_ms)
        arms = _arms(stack, client, words_are_tokens=True)
        return await _flood(stack, arms, plan.traced, plan.traced_rounds, processes)


async def with_model(stack: Stack, plan: Plan) -> Saturation:
    """The same with the local inference service."""
    async with new_client() as client:
        arms = _arms(stack, client, words_are_tokens=False)
        return await _flood(stack, arms, plan.traced_model, plan.traced_model_rounds, Processes(stack.pids))


def _arms(stack: Stack, client: httpx2.AsyncClient, *, words_are_tokens: bool) -> tuple[Through, Through]:
    untraced = Through(
        client,
        stack.gateway,
        stack.key,
        stack.model,
        messages,
        words_are_tokens=words_are_tokens,
        traced=False,
    )
    return untraced, replace(untraced, traced=True)


async def _flood(
    stack: Stack, arms: tuple[Through, Through], load: Flood, rounds: Rounds, processes: Processes
) -> Saturation:
    for arm in arms:
        await wave(arm, 16, 16, DIFFERENT)
    stack.say(f"saturation with {load.streams} streams, with and without traces")
    return await saturate(arms, load, rounds, processes)

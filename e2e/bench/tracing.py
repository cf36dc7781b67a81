"""What traces cost, with every request traced and exported to the stack's observer.

Twice: with the default model, where most processor time is the model's, as it is for whoever asks it; and
against the stub, where all of it is Penstock's, which is the most that traces can cost.

Both arms are one stack: a request says by the flag in its `traceparent` whether it is traced, and all
services go by that. So nothing differs between the arms but the spans: recorded, sent, and kept by the
observer, which shares the machine. Spans are exported some seconds later, so a window opens only when those
of the other arm have left.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
from rich.console import Console

from e2e.bench.client import Client
from e2e.bench.figures import Rounds
from e2e.bench.load import Load, wave
from e2e.bench.plan import Plan
from e2e.bench.processes import STUB, Processes
from e2e.bench.questions import DIFFERENT, messages
from e2e.bench.stacks import Stack, ingest_sample, running_stack
from e2e.bench.targets import Through
from e2e.bench.turns import Turns
from e2e.faults.stand import Setup

UNTRACED, TRACED = "not traced", "traced"
"""Names of the arms."""


class TracingFigures(msgspec.Struct, frozen=True):
    """Both arms, against the stub and with the model."""

    stub: dict[str, Rounds]
    model: dict[str, Rounds]


async def measure(console: Console, folder: Path, plan: Plan) -> TracingFigures:
    """Run this part."""
    console.print("    against the stub")
    async with running_stack(console, folder / "stub", Setup(slots=256)) as stack:
        await ingest_sample(console, stack)
        await stack.stand.stub.behave(first_ms=1, inter_ms=1, tokens=10_000)
        stub = await _both(stack, plan.traced, plan, words_are_tokens=True)
    console.print("    with the model")
    async with running_stack(console, folder / "model", Setup(real_model=True)) as stack:
        model = await _both(stack, plan.traced_model, plan, words_are_tokens=False)
    return TracingFigures(stub, model)


async def _both(stack: Stack, load: Load, plan: Plan, *, words_are_tokens: bool) -> dict[str, Rounds]:
    client = Client(stack.gateway)
    untraced = Through(client, stack.key, stack.model, messages, words_are_tokens, traced=False)
    arms = {UNTRACED: untraced, TRACED: replace(untraced, traced=True)}
    for arm in arms.values():
        await wave(arm, 16, 16, DIFFERENT)
    stub = {STUB: stack.stand.stub.pid} if words_are_tokens else {}
    turns = Turns(Processes(stack.pids | stub))
    return await turns.take(arms, load, plan.traced_rounds, plan.traced_budget_s)

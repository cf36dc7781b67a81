"""The goals, each beside its figure. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import msgspec

from e2e.bench.against_stub import DIRECT, PENSTOCK, Step, StubFigures
from e2e.bench.figures import Round, middle
from e2e.bench.hops import HopRound
from e2e.bench.processes import OUTSIDE, PASS_THROUGH
from e2e.bench.real_model import ModelFigures
from e2e.bench.tracing import TracingFigures

ADDED_MS = {1: 13.0, 8: 20.0, 32: 60.0, 64: 250.0}
RATE = 6_500.0
SPENT_MS = {64: 200.0, 1: 900.0}
IDLE_PERCENT = 4.0
MEMORY_MIB = 2_074.0
"""2.0 GiB: what the stack took before."""
_SLOW_ENGINE, _FAST_ENGINE = (600.0, 92.0), (1_000.0, 85.0)
"""Tokens a second of the bare engine, and the percentage of it that Penstock is to reach."""
KAFKA = "kafka"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a run has measured; None for a part that it left out."""

    machine: str
    stub: StubFigures | None = None
    idle: dict[str, float] | None = None
    """Percent of one core by process."""
    hops: dict[str, list[HopRound]] | None = None
    """By client."""
    model: ModelFigures | None = None
    tracing: TracingFigures | None = None


@dataclass(frozen=True)
class Goal:
    """One figure, what a pass-through proxy does, and what it is to be; None where there is none."""

    name: str
    unit: str
    figure: float
    passing: float | None
    limit: float | None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether it is reached."""
        if self.limit is None:
            return None
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit


def goals(figures: Figures) -> Iterator[Goal]:
    """The rows of the table of goals, for the parts that were measured."""
    if figures.stub:
        yield from _against_stub(figures.stub)
    if figures.idle:
        kafka, whole = figures.idle.get(KAFKA, 0.0), sum(figures.idle.values())
        yield Goal("processor of the idle stack, without Kafka", "%", whole - kafka, None, IDLE_PERCENT)
        yield Goal("Kafka's share beside it", "%", kafka, None, None)
    if figures.model:
        yield from _with_model(figures.model)


def _against_stub(figures: StubFigures) -> Iterator[Goal]:
    steps = {step.streams: step for step in figures.steps}
    for streams, step in steps.items():
        name = f"added to the first token, {_streams(streams)}"
        yield Goal(name, "ms", added_ms(step, PENSTOCK), added_ms(step, PASS_THROUGH), ADDED_MS[streams])
    most = max(steps)
    rates = [middle(steps[most].arms[arm], lambda one: one.rate) for arm in (PENSTOCK, PASS_THROUGH)]
    yield Goal(f"tokens/s, {_streams(most)}", "", rates[0], rates[1], RATE, at_least=True)
    for streams, limit in SPENT_MS.items():
        arms = steps[streams].arms
        yield Goal(
            f"processor time for 1,000 tokens, {_streams(streams)}",
            "ms",
            middle(arms[PENSTOCK], spent_ms),
            middle(arms[PASS_THROUGH], lambda one: one.per_thousand(PASS_THROUGH)),
            limit,
        )


def _with_model(figures: ModelFigures) -> Iterator[Goal]:
    engine = median(one.engine for one in figures.rounds)
    share = median(100 * one.penstock.rate / one.engine for one in figures.rounds)
    of_service = median(100 * one.penstock.rate / one.direct.rate for one in figures.rounds)
    yield Goal(
        "real model: share of the bare engine's tokens/s",
        "%",
        share,
        None,
        wanted_share(engine),
        at_least=True,
    )
    yield Goal("real model: share of the inference service's, asked directly", "%", of_service, None, None)
    yield Goal("memory with the real model", "MiB", sum(figures.memory_mib.values()), None, MEMORY_MIB)


def _streams(count: int) -> str:
    return f"{count} stream{'s' if count > 1 else ''}"


def added_ms(step: Step, arm: str) -> float:
    """Milliseconds that an arm's first token comes after that of the stub asked directly (medians)."""
    return middle(step.arms[arm], _first) - middle(step.arms[DIRECT], _first)


def _first(one: Round) -> float:
    return one.first_ms


def spent_ms(one: Round) -> float:
    """Milliseconds of processor time for 1,000 tokens, of all of Penstock's processes."""
    return sum(one.per_thousand(name) for name in one.spent_ms if name not in OUTSIDE)


def wanted_share(engine: float) -> float:
    """Percent of a bare engine's rate that Penstock is to reach, by that rate (tokens a second)."""
    (slow, most), (fast, least) = _SLOW_ENGINE, _FAST_ENGINE
    place = min(1.0, max(0.0, (engine - slow) / (fast - slow)))
    return most + (least - most) * place

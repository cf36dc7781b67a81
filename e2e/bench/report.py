"""Figures become tables, and the tables a part of docs/benchmarks.md."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from e2e.bench.against_stub import DIRECT, PENSTOCK, Step, StubFigures
from e2e.bench.errors import BenchError
from e2e.bench.figures import Round, Rounds, middle
from e2e.bench.goals import KAFKA, Figures, Goal, added_ms, goals, spent_ms
from e2e.bench.hops import HOPS, HopRound
from e2e.bench.load import Load
from e2e.bench.plan import FIRST_MS, INTER_MS, TOKENS, Plan
from e2e.bench.processes import CLIENT, OUTSIDE, PASS_THROUGH, STUB
from e2e.bench.real_model import ModelFigures
from e2e.bench.tables import Table, rewrite_between
from e2e.bench.tracing import TRACED, UNTRACED, TracingFigures

BEGIN = "<!-- bench:begin: written by make bench -->"
END = "<!-- bench:end -->"


def tables(figures: Figures, plan: Plan, before: Figures | None) -> Iterator[Table]:
    """All tables of a run; `before` are figures of an earlier commit, beside which the new ones stand."""
    if rows := list(goals(figures)):
        yield _goals(rows, list(goals(before)) if before else None)
    if figures.stub:
        yield _streams(figures.stub)
        yield _processor_time(figures.stub)
    if figures.idle:
        yield _idle(figures.idle, plan)
    if figures.hops:
        yield _hops(figures.hops, plan)
    if figures.model:
        yield _model(figures.model, plan)
    memories = {
        "against the stub": figures.stub.memory_mib if figures.stub else None,
        "with the model": figures.model.memory_mib if figures.model else None,
    }
    if measured := {name: memory for name, memory in memories.items() if memory}:
        yield _memory(measured)
    if figures.tracing:
        yield _tracing(figures.tracing, plan)


def _goals(rows: Sequence[Goal], before: Sequence[Goal] | None) -> Table:
    heads = ["", "Penstock", "pass-through", "goal", ""]
    lines = [
        [
            goal.name,
            _shown(goal.figure, goal.unit),
            _shown(goal.passing, goal.unit),
            _limit(goal),
            {True: "met", False: "missed", None: ""}[goal.met],
        ]
        for goal in rows
    ]
    if before is not None:
        earlier = {goal.name: goal.figure for goal in before}
        heads.insert(1, "before")
        for goal, line in zip(rows, lines, strict=True):
            line.insert(1, _shown(earlier.get(goal.name), goal.unit))
    note = (
        f"The stub's first token comes after {FIRST_MS} ms, then one every {INTER_MS} ms, {TOKENS} an answer."
        " Processor time is that of all processes with the broker, without client and stub; of the proxy its"
        " own alone."
    )
    return Table("Goals", heads, lines, note)


def _limit(goal: Goal) -> str:
    if goal.limit is None:
        return ""
    return f"{'≥' if goal.at_least else '≤'} {_shown(goal.limit, goal.unit)}"


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"
    return f"{text} {unit}".strip()


def _streams(figures: StubFigures) -> Table:
    names = {DIRECT: "stub, directly", PASS_THROUGH: "pass-through", PENSTOCK: "Penstock"}
    lines = [
        [
            str(step.streams),
            name,
            _pair(step.arms[arm], lambda one: one.first_ms, lambda one: one.first_p95_ms),
            "" if arm == DIRECT else f"{added_ms(step, arm):.1f}",
            _pair(step.arms[arm], lambda one: one.gap_ms, lambda one: one.gap_p95_ms),
            f"{middle(step.arms[arm], lambda one: one.rate):,.0f}",
            str(sum(one.answers for one in step.arms[arm])),
        ]
        for step in figures.steps
        for arm, name in names.items()
    ]
    heads = ("streams", "asked", "first token", "added", "gap", "tokens/s", "answers")
    rounds = len(figures.steps[0].arms[DIRECT])
    note = (
        f"Milliseconds, median (95th percentile) of each of {rounds} rounds, and of these the median. A gap"
        " is the time from one arrival of text to the next. Every question through Penstock is embedded and"
        " searched for; the other arms are given the prompts that come of it."
    )
    return Table("First token, gaps and tokens/s, against the stub", heads, lines, note)


def _pair(rounds: Rounds, usual: Callable[[Round], float], rare: Callable[[Round], float]) -> str:
    return f"{middle(rounds, usual):.1f} ({middle(rounds, rare):.1f})"


def _processor_time(figures: StubFigures) -> Table:
    steps = (figures.steps[-1], figures.steps[0])
    arms = [step.arms[PENSTOCK] for step in steps]
    names = [name for name in arms[0][0].spent_ms if name not in OUTSIDE]
    lines = [[name, *(_spent(rounds, name) for rounds in arms)] for name in names]
    lines.append(["together", *(f"{middle(rounds, spent_ms):.1f}" for rounds in arms)])
    lines += [[name, *(_spent(rounds, name) for rounds in arms)] for name in (CLIENT, STUB)]
    shares = ", ".join(f"{_share_outside(steps[0], arm):.0f} % ({arm})" for arm in steps[0].arms)
    note = (
        "Milliseconds of processor time for 1,000 tokens through Penstock, medians of the rounds. Of all"
        f" cores, load client and stub took at {steps[0].streams} streams, by arm: {shares}."
    )
    heads = ["process", *(f"{step.streams} stream{'s' * (step.streams > 1)}" for step in steps)]
    return Table("Processor time by process, against the stub", heads, lines, note)


def _spent(rounds: Rounds, name: str) -> str:
    return f"{middle(rounds, lambda one: one.per_thousand(name)):.1f}"


def _share_outside(step: Step, arm: str) -> float:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return middle(
        step.arms[arm],
        lambda one: (one.spent_ms[CLIENT] + one.spent_ms[STUB]) / one.seconds / 10 / cores,
    )


def _idle(figures: Mapping[str, float], plan: Plan) -> Table:
    lines = [[name, f"{share:.2f}"] for name, share in figures.items()]
    whole = sum(figures.values())
    lines.append(["together without Kafka", f"{whole - figures.get(KAFKA, 0.0):.2f}"])
    lines.append(["together", f"{whole:.2f}"])
    note = f"Percent of one core over {plan.idle_s:g} s in which nobody asks anything."
    return Table("Processor of the idle stack", ("process", "%"), lines, note)


def _hops(figures: Mapping[str, list[HopRound]], plan: Plan) -> Table:
    lines = [
        [
            client,
            f"{median(one.hop_ms for one in rounds):.2f}",
            f"{median(one.hop_p99_ms for one in rounds):.2f}",
            f"{median(one.relay_cpu_ms for one in rounds):.2f}",
        ]
        for client, rounds in figures.items()
    ]
    note = (
        f"Milliseconds, medians of the rounds: a record every 20 ms, {plan.hop_records} a round, through"
        f" {HOPS} topics and the {HOPS - 1} bare processes between them. A hop is a fifth of the whole way."
    )
    heads = ("client of Kafka", "a hop (median)", "a hop (99th percentile)", "processor a record in a relay")
    return Table("A hop over Kafka", heads, lines, note)


def _model(figures: ModelFigures, plan: Plan) -> Table:
    arms = {
        "engine alone": [one.engine for one in figures.rounds],
        "inference service, directly": [one.direct.rate for one in figures.rounds],
        "through Penstock": [one.penstock.rate for one in figures.rounds],
    }
    lines = [[name, f"{median(rates):,.0f}", _range(rates)] for name, rates in arms.items()]
    kind = "with passages" if figures.passages else "without passages"
    note = (
        f"{figures.model}, {plan.model.streams} requests at once, prompts of {figures.prompt_characters}"
        f" characters {kind}, answers of {_lengths(plan.model)} tokens; median of"
        f" {len(figures.rounds)} rounds. Directly means /generate_stream with the very prompts that Penstock"
        " makes; the engine alone has them in a process without a server. No two prompts have the same first"
        " words, so no prefix is found in a cache."
    )
    return Table("Tokens/s with the real model", ("asked", "tokens/s", "lowest to highest"), lines, note)


def _range(values: Sequence[float]) -> str:
    return f"{min(values):,.0f} to {max(values):,.0f}"


def _lengths(load: Load) -> str:
    return f"{load.tokens // 2} to {3 * load.tokens // 2}"


def _memory(measured: Mapping[str, Mapping[str, float]]) -> Table:
    names = list(dict.fromkeys(name for memory in measured.values() for name in memory))
    columns = list(measured.values())
    lines = [
        [name, *(f"{memory[name]:.0f}" if name in memory else "" for memory in columns)] for name in names
    ]
    lines.append(["together", *(f"{sum(memory.values()):.0f}" for memory in columns)])
    note = "MiB after the load. Pages that processes share count in equal parts, the broker's in full (Java)."
    return Table("Memory", ("process", *measured), lines, note)


def _tracing(figures: TracingFigures, plan: Plan) -> Table:
    arms = (figures.model, figures.stub)
    lines = [[name, *(_rate(found[name]) for found in arms)] for name in (UNTRACED, TRACED)]
    lines.append(["traced / not traced, median of the rounds", *(_traced_share(found) for found in arms)])
    note = (
        f"Answers of {_lengths(plan.traced_model)} tokens in {plan.traced_model.streams} streams with the"
        f" model, of {_lengths(plan.traced)} in {plan.traced.streams} against the stub, which writes a token"
        " every millisecond. The observer, which keeps the spans, shares the machine."
    )
    heads = ("requests", "with the model", "against the stub")
    return Table("Tokens/s with and without traces", heads, lines, note)


def _rate(rounds: Rounds) -> str:
    rates = [one.rate for one in rounds]
    return f"{median(rates):,.0f} ({_range(rates)})"


def _traced_share(found: Mapping[str, Rounds]) -> str:
    pairs = zip(found[UNTRACED], found[TRACED], strict=True)
    return f"{100 * median(traced.rate / untraced.rate for untraced, traced in pairs):.1f} %"


def rewrite(path: Path, machine: str, shown: Sequence[Table]) -> None:
    """Replace what stands between the two marks. BenchError if the file or a mark is missing."""
    body = "\n".join([f"Measured on: {machine}.\n", *(table.markdown() for table in shown)])
    try:
        rewrite_between(path, BEGIN, END, body)
    except OSError as error:
        raise BenchError(f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BenchError(str(error)) from error

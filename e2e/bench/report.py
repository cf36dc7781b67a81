"""Results become tables, and the tables a part of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from e2e.bench.against_stub import StubResults
from e2e.bench.errors import BenchError
from e2e.bench.figures import Rates, Spread
from e2e.bench.load import Flood
from e2e.bench.plan import Plan
from e2e.bench.processes import MIB, STUB, Memory
from e2e.bench.real_model import ModelResults
from e2e.bench.saturation import Saturation
from e2e.bench.tables import Table, rewrite_between

BEGIN = "<!-- bench:begin: written by make bench -->"
END = "<!-- bench:end -->"


def stub_tables(results: StubResults, plan: Plan) -> list[Table]:
    """The tables of part one."""
    return [
        _first_token(results, plan),
        _gaps(results, plan),
        _throughput(results, plan),
        _processor_time("Processor time by process, against the stub", results.saturation),
        _memory("Memory after saturation, against the stub", results.memory, without=STUB),
    ]


def model_tables(results: ModelResults, alone: float, plan: Plan) -> list[Table]:
    """The tables of part two; `alone` is the engine's rate without a server, in tokens a second."""
    saturation = results.saturation
    ratio = saturation.through.median / saturation.direct.median
    rows = [
        ["engine alone", f"{alone:,.0f}"],
        ["inference service, directly", _rates(saturation.direct)],
        ["through Penstock", _rates(saturation.through)],
        ["through Penstock / directly", f"**{100 * ratio:.0f} %**"],
    ]
    kind = "with passages" if results.passages else "without passages"
    note = (
        f"{results.model}, {plan.model.streams} requests at once, prompts of {results.prompt_characters}"
        f" characters {kind}, answers of {_lengths(plan.model)} tokens;"
        f" {_of_rounds(saturation)}. Directly means /generate_stream with the very prompts that"
        " Penstock makes; the engine alone has them in a process without a server. No two prompts have the"
        " same first words, so no prefix is found in a cache."
    )
    return [
        Table("Tokens/s with the real model", ("arm", "tokens/s"), rows, note),
        _processor_time("Processor time by process, with the real model", saturation),
        _memory("Memory of the whole stack with the real model", results.memory),
    ]


def tracing_tables(results: tuple[Saturation, Saturation], plan: Plan) -> list[Table]:
    """The tables of part three; `results` are those against the stub and with the model."""
    stub, model = results
    rows = [
        ["no request traced", _rates(model.direct), _rates(stub.direct)],
        ["every request traced", _rates(model.through), _rates(stub.through)],
        ["traced / not traced, median of the rounds", _traced_share(model), _traced_share(stub)],
    ]
    note = (
        f"Answers of {_lengths(plan.traced_model)} tokens in {plan.traced_model.streams} streams with the"
        f" model, of {_lengths(plan.traced)} in {plan.traced.streams} against the stub; {_of_rounds(model)}"
        f" and {len(stub.direct.rounds)}. The observer, which keeps the spans, shares the machine."
    )
    arms = ("not traced", "traced")
    return [
        Table("Tokens/s with and without traces", ("arm", "with the model", "against the stub"), rows, note),
        _processor_time("Processor time with and without traces, with the model", model, arms),
        _processor_time("Processor time with and without traces, against the stub", stub, arms),
    ]


def _traced_share(results: Saturation) -> str:
    pairs = zip(results.direct.rounds, results.through.rounds, strict=True)
    return f"**{100 * median(traced / untraced for untraced, traced in pairs):.1f} %**"


def _lengths(load: Flood) -> str:
    return f"{load.tokens // 2} to {3 * load.tokens // 2}"


def _first_token(results: StubResults, plan: Plan) -> Table:
    rows = [
        [
            str(row.streams),
            _ms(row.direct.first),
            _ms(row.through.first),
            f"**{1000 * (row.through.first.median - row.direct.first.median):.1f}**",
            str(row.through.answers),
        ]
        for row in results.latencies
    ]
    headings = ("streams", "directly", "through Penstock", "added", "answers in each arm")
    note = (
        f"Milliseconds, median (95th percentile). The stub's first token comes after {plan.first_ms:g} ms;"
        " added is the difference of the medians. Every question is embedded and searched for."
    )
    return Table("First-token latency, against the stub", headings, rows, note)


def _gaps(results: StubResults, plan: Plan) -> Table:
    rows = [
        [
            str(row.streams),
            _ms(row.direct.gap),
            _ms(row.through.gap),
            f"{row.through.gap.median / row.direct.gap.median:.2f}",
            f"{row.through.tokens_per_read:.1f}",
            f"{row.through.per_token / row.direct.per_token:.2f}",
        ]
        for row in results.latencies
    ]
    headings = (
        "streams",
        "gap directly",
        "gap through Penstock",
        "ratio of gaps",
        "tokens an event",
        "ratio of time a token",
    )
    note = (
        f"Milliseconds between two arrivals of text, median (95th percentile); the stub writes a token every"
        f" {plan.inter_ms:g} ms. Penstock gathers tokens the longer, the more streams there are; time a token"
        " is the same comparison without regard to that grouping."
    )
    return Table("Inter-token gap, against the stub", headings, rows, note)


def _throughput(results: StubResults, plan: Plan) -> Table:
    rows = [
        ["directly", _rates(results.saturation.direct)],
        ["through Penstock", _rates(results.saturation.through)],
    ]
    note = (
        f"{plan.flood.streams} streams, a token every {plan.flood_inter_ms:g} ms in each, which neither arm"
        f" can follow; {_of_rounds(results.saturation)}. Load client, stub and Penstock share the machine."
    )
    return Table("Tokens/s at saturation, against the stub", ("arm", "tokens/s"), rows, note)


def _processor_time(
    title: str, saturation: Saturation, arms: tuple[str, str] = ("directly", "through Penstock")
) -> Table:
    direct, through = saturation.direct_cpu_ms, saturation.through_cpu_ms
    rows = [[name, f"{direct[name]:.1f}", f"{through[name]:.1f}"] for name in through]
    rows.append(["together", f"{sum(direct.values()):.1f}", f"{sum(through.values()):.1f}"])
    note = "Milliseconds of processor time for 1,000 tokens, while they flow as fast as they can."
    return Table(title, ("process", *arms), rows, note)


def _memory(title: str, memory: Mapping[str, Memory], without: str = "") -> Table:
    shown = {name: size for name, size in memory.items() if name != without}
    rows = [[name, f"{one.size / MIB:.0f}", one.kind] for name, one in shown.items()]
    rows.append(["together", f"{sum(one.size for one in shown.values()) / MIB:.0f}", ""])
    note = "MiB. pss counts pages that processes share in equal parts, rss in full (Java)."
    return Table(title, ("process", "MiB", "kind"), rows, note)


def _ms(spread: Spread) -> str:
    return f"{1000 * spread.median:.1f} ({1000 * spread.p95:.1f})"


def _of_rounds(saturation: Saturation) -> str:
    rounds = len(saturation.direct.rounds)
    if rounds == 1:
        return "one round"
    return f"median of {rounds} rounds, in brackets the lowest and the highest"


def _rates(rates: Rates) -> str:
    if len(rates.rounds) == 1:
        return f"{rates.median:,.0f}"
    return f"{rates.median:,.0f} ({min(rates.rounds):,.0f}–{max(rates.rounds):,.0f})"


def rewrite(path: Path, machine: str, command: str, tables: Sequence[Table]) -> None:
    """Replace what stands between the two marks. BenchError if the file or a mark is missing."""
    head = f"Measured on: {machine}.\n\nTo repeat: `{command}`.\n"
    body = "\n".join([head, *(table.markdown() for table in tables)])
    try:
        rewrite_between(path, BEGIN, END, body)
    except OSError as error:
        raise BenchError(f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BenchError(str(error)) from error

"""The results as tables, and the part of docs/faults.md that a run writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from e2e.bench.tables import Table, rewrite_between
from e2e.faults.summary import Summary

BEGIN = "<!-- faults:begin: written by make test-faults -->"
END = "<!-- faults:end -->"

_HEADINGS = (
    "scenario",
    "minutes",
    "requests",
    "faults",
    "records doubled or bad",
    "completed",
    "given up",
    "failed",
    "refused",
    "resumed",
    "lost",
    "doubled",
    "wrong bytes",
    "slots late",
    "commits early",
    "longest pause (s)",
    "p99 pause (s)",
)
_PAUSES = 2


def tables(summaries: Sequence[Summary]) -> list[Table]:
    """Return everything there is to show."""
    real = [one for one in summaries if not one.broken]
    broken = [one for one in summaries if one.broken]
    found = [_main(real)] if real else []
    if broken:
        found.append(_caught(broken))
    found += [_memory(one) for one in real if one.memory]
    return [*found, _faults_by_kind(summaries)]


def _main(summaries: Sequence[Summary]) -> Table:
    numbers = [_numbers(one) for one in summaries]
    rows = [[one.name, *_cells(row)] for one, row in zip(summaries, numbers, strict=True)]
    columns = list(zip(*numbers, strict=True))
    rows.append(["all", *_cells([*map(sum, columns[:-_PAUSES]), *map(max, columns[-_PAUSES:])])])
    note = (
        "Given up: cancelled by the client, or left for good. Resumed: connections that broke and were gone"
        " on with. Pauses: of each stream that was open at a fault, the longest silence within 15 s after it."
    )
    return Table("Faults under load", _HEADINGS, rows, note)


def _numbers(one: Summary) -> list[float]:
    states, sorts = one.states, one.sorts
    return [
        one.seconds / 60,
        one.requests,
        one.of_processes,
        one.of_records,
        states.get("completed", 0),
        states.get("cancelled", 0) + states.get("left", 0),
        states.get("failed", 0),
        states.get("refused", 0),
        one.resumed,
        *(sorts.get(sort, 0) for sort in ("lost", "doubled", "wrong", "slot", "commit")),
        one.longest_pause,
        one.p99_pause,
    ]


def _cells(numbers: Sequence[float]) -> list[str]:
    return [
        *(f"{number:,.0f}" for number in numbers[:-_PAUSES]),
        *(f"{number:.1f}" for number in numbers[-_PAUSES:]),
    ]


def _caught(summaries: Sequence[Summary]) -> Table:
    rows = [
        [
            one.name.removeprefix("broken: "),
            one.what,
            str(one.requests),
            ", ".join(f"{count} {rule}" for rule, count in sorted(one.rules.items())),
            "yes" if one.passed else "NO",
        ]
        for one in summaries
    ]
    return Table(
        "Broken builds, which the checker must catch",
        ("build", "what is done", "requests", "violations", "caught"),
        rows,
    )


def _memory(one: Summary) -> Table:
    rows = [
        [memory.process, *(f"{used:.0f}" for used in memory.used), f"{memory.growth:+.2f}"]
        for memory in one.memory
    ]
    headings = ("process", "MiB after a third", "after two thirds", "at the end", "MiB a minute, second half")
    return Table(f"Memory over {one.seconds / 60:.0f} minutes of load without faults", headings, rows)


def _faults_by_kind(summaries: Sequence[Summary]) -> Table:
    counted: Counter[str] = Counter()
    for one in summaries:
        counted.update(one.faults)
    rows = [[fault, f"{count:,}"] for fault, count in counted.most_common()]
    return Table("Faults injected", ("fault", "count"), rows)


def rewrite(file: Path, machine: str, command: str, shown: Sequence[Table]) -> None:
    """Put the tables between the two marks of a Markdown file."""
    parts = [f"Run on: {machine}.", f"To repeat: `{command}`.", *(table.markdown() for table in shown)]
    rewrite_between(file, BEGIN, END, "\n\n".join(parts))

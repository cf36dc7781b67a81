"""The results as tables, and the part of docs/faults.md that a run writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from e2e.bench.tables import Table
from e2e.faults.scenarios import CALM
from e2e.faults.trial import OF_RECORDS, Result, Usage, slope

BEGIN = "<!-- faults:begin: written by make test-faults -->"
END = "<!-- faults:end -->"
_MIB = 1 << 20


def tables(results: Sequence[Result]) -> list[Table]:
    """Return everything a run has to show."""
    real = [result for result in results if not result.scenario.broken]
    broken = [result for result in results if result.scenario.broken]
    found = [_main(real)] if real else []
    if broken:
        found.append(_caught(broken))
    found += [_memory(result) for result in real if result.scenario.name == CALM]
    return found


def _main(results: Sequence[Result]) -> Table:
    headings = (
        "scenario",
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
    rows = [_row(result) for result in results]
    numbers = [[float(cell.replace(",", "")) for cell in row[1:]] for row in rows]
    summed = [f"{sum(column):,.0f}" for column in zip(*numbers, strict=True)]
    longest = [f"{max(column):.1f}" for column in list(zip(*numbers, strict=True))[-2:]]
    rows.append(["all", *summed[:-2], *longest])
    note = (
        "Given up: cancelled by the client, or left for good. Resumed: connections that broke and were gone"
        " on with. Pauses: of each stream that was open at a fault, the longest silence within 15 s after it."
    )
    return Table("Faults under load", headings, rows, note)


def _row(result: Result) -> list[str]:
    states, sorts = result.states, result.sorts
    of_records = sum(made.fault in OF_RECORDS for made in result.injected)
    resumed = sum(one.resumed for one in result.seen)
    counts = (
        len(result.seen),
        len(result.injected) - of_records,
        of_records,
        states["completed"],
        states["cancelled"] + states["left"],
        states["failed"],
        states["refused"],
        resumed,
        *(sorts[sort] for sort in ("lost", "doubled", "wrong", "slot", "commit")),
    )
    longest = max(result.pauses, default=0.0)
    return [result.scenario.name, *(f"{n:,}" for n in counts), f"{longest:.1f}", f"{result.p99_pause:.1f}"]


def _caught(results: Sequence[Result]) -> Table:
    rows = [
        [
            result.scenario.name.removeprefix("broken: "),
            result.scenario.what,
            str(len(result.seen)),
            ", ".join(
                f"{n} {rule}" for rule, n in sorted(Counter(v.rule for v in result.violations).items())
            ),
            "yes" if result.passed else "NO",
        ]
        for result in results
    ]
    return Table(
        "Broken builds, which the checker must catch",
        ("build", "what is done", "requests", "violations", "caught"),
        rows,
    )


def _rules(result: Result) -> Counter[str]:
    return Counter(violation.rule for violation in result.violations)


def _memory(result: Result) -> Table:
    rows = [
        [name, *(f"{_used(points, share):.0f}" for share in (1 / 3, 2 / 3, 1)), f"{_growth(points):+.2f}"]
        for name, points in sorted(result.memory.items())
    ]
    title = f"Memory over {result.seconds / 60:.0f} minutes of load without faults"
    headings = (
        "process",
        "MiB after a third",
        "after two thirds",
        "at the end",
        "MiB a minute in the last half",
    )
    return Table(title, headings, rows)


def _used(points: Sequence[Usage], share: float) -> float:
    """MiB in the middle of the ten readings up to that share of the time."""
    end = max(1, round(len(points) * share))
    return median(used for _, _, used in points[max(0, end - 10) : end]) / _MIB


def _growth(points: Sequence[Usage]) -> float:
    return slope(points[len(points) // 2 :]) / _MIB


def faults_by_kind(results: Sequence[Result]) -> Table:
    """Return how many faults of each kind were injected."""
    counted = Counter(made.fault for result in results for made in result.injected)
    rows = [[fault, f"{count:,}"] for fault, count in counted.most_common()]
    return Table("Faults injected", ("fault", "count"), rows)


def rewrite(file: Path, machine: str, command: str, shown: Sequence[Table]) -> None:
    """Replace what stands between the two marks of a Markdown file."""
    text = file.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{file} lacks the marks {BEGIN} and {END}")
    parts = [f"Run on: {machine}.", f"To repeat: `{command}`.", *(table.markdown() for table in shown)]
    body = "\n\n".join(parts).rstrip()
    file.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")

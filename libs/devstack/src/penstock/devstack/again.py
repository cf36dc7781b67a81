"""``penstock replay``: asks recorded questions again and shows what has changed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import aclosing

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from penstock.devstack.errors import DevstackError
from penstock.devstack.plain import plain
from penstock.devstack.replays import Compared, Recorded, Replays, changes
from penstock.messages.chat import Seen
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.connection import Cluster, by_kafka_python
from penstock.streaming.ports import BrokerError

_LONGEST_DIFF = 20_000
_STYLES = {"same": "", "removed": "red strike", "added": "green"}


async def replay_aloud(
    console: Console,
    cluster: Cluster,
    since_ms: int,
    until_ms: int | None,
    *,
    tenant: str,
    limit: int,
    show: bool,
) -> bool:
    """Prints a line for each answer and a summary; True if every question was answered again."""
    try:
        reader = await open_reader(by_kafka_python(cluster))
        try:
            producer = await open_producer(by_kafka_python(cluster))
            try:
                replays = Replays(reader, producer, lambda: time.time_ns() // 1_000_000)
                recorded = await replays.recorded(since_ms, until_ms, tenant, limit)
                results = await _ask(console, replays, recorded)
            finally:
                await producer.close()
        finally:
            await reader.close()
    except BrokerError as error:
        raise DevstackError(f"Kafka at {cluster}: {error}") from error
    if not results:
        console.print("No questions were recorded in that time.")
        return True
    console.print(_table(results))
    for result in results if show else ():
        console.print(_difference(result))
    console.print(_summary(results))
    return all(result.event.after.outcome == "completed" for result in results)


async def _ask(console: Console, replays: Replays, recorded: Sequence[Recorded]) -> list[Compared]:
    results: list[Compared] = []
    with Progress(
        TextColumn("    {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("asked again", total=len(recorded))
        async with aclosing(replays.ask_again(recorded)) as comparisons:
            async for comparison in comparisons:
                results.append(comparison)
                bar.update(task, completed=len(results))
    return results


def _table(results: Sequence[Compared]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("request", "tenant", "outcome", "text", "chars", "tokens", "first ms", "ms", "citations"):
        table.add_column(heading, no_wrap=True)
    for result in results:
        event = result.event
        before, after = event.before, event.after
        text = "equal" if event.equal else f"differs at {event.first_difference}"
        if event.first_difference is None and not event.equal:
            text = "other outcome"
        table.add_row(
            Text(before.request_id),
            Text(plain(result.recorded.envelope.tenant)),
            _pair(before.outcome, after.outcome),
            Text(text, style="green" if event.equal else "yellow"),
            _pair(before.length, after.length),
            _pair(before.completion_tokens, after.completion_tokens),
            _pair(before.first_text_ms, after.first_text_ms),
            _pair(before.whole_ms, after.whole_ms),
            f"+{len(event.added)} -{len(event.removed)}" if event.added or event.removed else "same",
        )
    return table


def _pair(before: object, after: object) -> str:
    old, new = ("-" if value is None else str(value) for value in (before, after))
    return old if old == new else f"{old} -> {new}"


def _difference(result: Compared) -> Text:
    before, after = result.recorded.answer.text, result.after.text
    shown = Text(f"\n{result.event.before.request_id}\n", style="bold")
    if max(len(before), len(after)) > _LONGEST_DIFF:
        return shown.append(f"(longer than {_LONGEST_DIFF} characters: not shown)", style="not bold dim")
    for change, text in changes(before, after):
        marks = {"same": "", "removed": "[-{}-]", "added": "{{+{}+}}"}[change]
        shown.append(marks.format(plain(text)) if marks else plain(text), style=f"not bold {_STYLES[change]}")
    return shown


def _summary(results: Sequence[Compared]) -> str:
    events = [result.event for result in results]
    equal = sum(event.equal for event in events)
    unanswered = sum(event.after.outcome != "completed" for event in events)
    first = _medians([(event.before, event.after) for event in events], "first_text_ms")
    whole = _medians([(event.before, event.after) for event in events], "whole_ms")
    return (
        f"{len(events)} asked again: {equal} equal, {len(events) - equal} different,"
        f" {unanswered} not completed; median to the first text {first} ms, to the end {whole} ms"
    )


def _medians(pairs: Sequence[tuple[Seen, Seen]], name: str) -> str:
    medians = []
    for side in zip(*pairs, strict=True):
        known = [value for seen in side if (value := getattr(seen, name)) is not None]
        medians.append(round(statistics.median(known)) if known else None)
    return _pair(*medians)

"""``penstock dlq``: list, show, replay and drop dead letters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from penstock.devstack.errors import DevstackError
from penstock.devstack.plain import plain
from penstock.devstack.screen import make_console
from penstock.devstack.times import parse_time, show_time
from penstock.devstack.where import cluster_here
from penstock.messages.topics import TOPICS, Topic
from penstock.streaming.admin.dead_letters import Choice, DeadLetter, DeadLetters, Outcome, topic_named
from penstock.streaming.connection import Cluster, by_kafka_python
from penstock.streaming.ports import BrokerError, Record

commands = typer.Typer(help="Dead letters: records that could not be handled.", no_args_is_help=True)

_Work = Callable[[DeadLetters, Console], Awaitable[None]]
TopicOption = Annotated[str | None, typer.Option("--topic", help="For example chat.requests.")]
ErrorOption = Annotated[str, typer.Option("--error", metavar="TEXT", help="The error holds this text.")]
SinceOption = Annotated[str | None, typer.Option("--since", help="10m, 2h, 3d ago, or an ISO time.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="As --since.")]
TenantOption = Annotated[str, typer.Option("--tenant", help="Of this tenant.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many, oldest first.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@commands.command("list")
def list_letters(
    topic: TopicOption = None,
    error: ErrorOption = "",
    since: SinceOption = None,
    until: UntilOption = None,
    tenant: TenantOption = "",
    limit: LimitOption = None,
    done: Annotated[bool, typer.Option("--all", help="Those that were replayed or dropped, too.")] = False,
) -> None:
    """Show dead letters, oldest first."""
    choice = _choice(topic, error, since, until, tenant, limit, done_too=done)

    async def work(dead: DeadLetters, console: Console) -> None:
        chosen = choice.of(await dead.list_all(_topics(choice)))
        if chosen:
            console.print(_table(chosen, with_state=done))
        many = "1 dead letter" if len(chosen) == 1 else f"{len(chosen)} dead letters"
        console.print(many if chosen else "No dead letters match.")

    _run(work)


@commands.command()
def show(
    topic: Annotated[str, typer.Argument(help="For example chat.requests.")],
    offset: Annotated[int, typer.Argument(min=0, help="Its offset, as in the list.")],
    body: Annotated[
        bool, typer.Option("--body", help="Its body, too; it may hold what a user has written.")
    ] = False,
) -> None:
    """Show one dead letter: its headers and, if asked for, its body."""
    found = _topic(topic)

    async def work(dead: DeadLetters, console: Console) -> None:
        record = await dead.record(found, offset)
        if record is None:
            raise DevstackError(f"There is no dead letter {found.dlq}/{offset} (any more)")
        _show(console, record, with_body=body)

    _run(work)


@commands.command()
def replay(
    topic: TopicOption = None,
    error: ErrorOption = "",
    since: SinceOption = None,
    until: UntilOption = None,
    tenant: TenantOption = "",
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    force: Annotated[bool, typer.Option("--force", help="Also records that are still invalid.")] = False,
) -> None:
    """Send dead letters to the topics they came from. Exit code 1 if one was refused."""
    choice = _choice(topic, error, since, until, tenant, limit)
    refused = 0

    async def work(dead: DeadLetters, console: Console) -> None:
        nonlocal refused
        sent = 0
        chosen = choice.of(await dead.list_all(_topics(choice)))
        async for outcome in dead.replay(chosen, force=force, dry_run=dry_run):
            console.print(_told(outcome))
            refused += bool(outcome.refused)
            sent += not outcome.refused
        if not dry_run:
            await dead.trim(list({letter.topic for letter in chosen}))
        console.print(f"{sent} {'would be ' if dry_run else ''}replayed, {refused} refused")

    _run(work)
    raise typer.Exit(1 if refused else 0)


@commands.command()
def drop(
    topic: TopicOption = None,
    error: ErrorOption = "",
    since: SinceOption = None,
    until: UntilOption = None,
    tenant: TenantOption = "",
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Mark dead letters as dealt with; they are listed no more."""
    choice = _choice(topic, error, since, until, tenant, limit)

    async def work(dead: DeadLetters, console: Console) -> None:
        chosen = choice.of(await dead.list_all(_topics(choice)))
        if dry_run:
            console.print(_table(chosen, with_state=False))
        else:
            await dead.drop(chosen)
            await dead.trim(list({letter.topic for letter in chosen}))
        console.print(f"{len(chosen)} {'would be ' if dry_run else ''}dropped")

    _run(work)


def _choice(
    topic: str | None,
    error: str,
    since: str | None,
    until: str | None,
    tenant: str,
    limit: int | None,
    *,
    done_too: bool = False,
) -> Choice:
    now = _now_ms()
    return Choice(
        topic=None if topic is None else _topic(topic),
        error=error,
        tenant=tenant,
        since_ms=0 if since is None else parse_time(since, now),
        until_ms=None if until is None else parse_time(until, now),
        limit=limit,
        done_too=done_too,
    )


def _topic(name: str) -> Topic:
    topic = topic_named(name)
    if topic is None:
        raise DevstackError(f"No topic {name!r}; there are: {', '.join(topic.name for topic in TOPICS)}")
    return topic


def _topics(choice: Choice) -> Sequence[Topic]:
    return TOPICS if choice.topic is None else (choice.topic,)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _run(work: _Work) -> None:
    async def main() -> None:
        try:
            async with _dead_letters(cluster_here()) as dead:
                await work(dead, make_console())
        except BrokerError as error:
            raise DevstackError(f"Kafka: {error}") from error

    asyncio.run(main())


@asynccontextmanager
async def _dead_letters(cluster: Cluster) -> AsyncIterator[DeadLetters]:
    # Here, since the other commands do without Kafka's client, half a second.
    from penstock.streaming.adapters.kafka import open_producer, open_reader
    from penstock.streaming.admin.topics import delete_before

    cluster = by_kafka_python(cluster)
    reader = await open_reader(cluster)
    try:
        producer = await open_producer(cluster)
        try:
            yield DeadLetters(reader, producer, lambda cuts: delete_before(cluster, cuts), _now_ms)
        finally:
            await producer.close()
    finally:
        await reader.close()


def _table(letters: Sequence[DeadLetter], *, with_state: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("topic", "offset", "time", "stage", "error", "request id", "tenant"):
        table.add_column(heading, no_wrap=heading != "error", overflow="fold")
    if with_state:
        table.add_column("state")
    for letter in letters:
        row = [
            letter.topic.name,
            str(letter.offset),
            show_time(letter.time_ms),
            letter.stage,
            letter.error,
            letter.request_id,
            letter.tenant,
        ]
        table.add_row(*(Text(plain(cell)) for cell in [*row, *([letter.state] if with_state else [])]))
    return table


def _show(console: Console, record: Record, *, with_body: bool) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in (("key", record.key), *record.headers):
        table.add_row(Text(plain(name), style="dim"), Text(plain((value or b"").decode(errors="replace"))))
    console.print(table)
    size = len(record.value or b"")
    if with_body:
        console.print(Text(_body(record.value)), soft_wrap=True)
    else:
        console.print(f"Body: {size} bytes (--body shows them)", style="dim")


def _body(value: bytes | None) -> str:
    if value is None:
        return "(none)"
    with suppress(msgspec.DecodeError):  # no JSON: as it is
        value = msgspec.json.format(value)
    return plain(value.decode(errors="backslashreplace"))


def _told(outcome: Outcome) -> Text:
    letter = outcome.letter
    if outcome.refused:
        return Text(f"    {letter.location}: refused: {plain(outcome.refused)}", style="yellow")
    to = "" if outcome.offset is None else f" (offset {outcome.offset})"
    return Text(f"    {letter.location} -> {letter.topic.name}{to}  {plain(letter.request_id)}")

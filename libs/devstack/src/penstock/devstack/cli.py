"""The ``penstock`` command."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from penstock.devstack import access, background, db, dlq, documents, growing, topics, upkeep
from penstock.devstack.documents import KeyOption, UrlOption
from penstock.devstack.errors import DevstackError, OutputClosed
from penstock.devstack.replicas import GATEWAY, parse_replicas
from penstock.devstack.screen import make_console, status_table
from penstock.devstack.state import StateDir
from penstock.devstack.times import parse_time
from penstock.devstack.where import cluster_here, gateway_here, here, observer_here, running_here
from penstock.messages.chat import AnswersFrom
from penstock.messages.search import DEFAULT_STORE

# run, talk and demo import Kafka's client and more: half a second that `status` and `down` do without.

commands = typer.Typer(
    help="Penstock's local stack: start it, feed it documents, ask it questions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
commands.add_typer(dlq.commands, name="dlq")
commands.add_typer(documents.commands, name="documents")
commands.add_typer(db.commands, name="db")
commands.add_typer(topics.commands, name="topics")
commands.add_typer(access.commands, name="acl")


def app() -> None:
    """Entry point: a DevstackError becomes one line on standard error and exit code 1.

    What the command and its children write is for their user alone. When nobody reads standard output any
    more the exit code is that of a program that SIGPIPE ends.
    """
    os.umask(0o077)
    try:
        commands()
        sys.stdout.flush()
    except (OutputClosed, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered goes there at exit
        sys.exit(128 + signal.SIGPIPE)
    except DevstackError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(Text(f"penstock: {error}"))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@commands.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready; stop with down.")
    ] = False,
    replicas: Annotated[
        list[str] | None,
        typer.Option(help="How many processes, for example generation=3,gateway=2; else one of each."),
    ] = None,
    secure: Annotated[
        bool | None,
        typer.Option("--secure/--no-secure", help="Kafka with TLS, users and ACLs; else as the last time."),
    ] = None,
) -> None:
    """Start Kafka, the topics and every service, and keep them running."""
    counts = parse_replicas(replicas or [])
    settings, state = here()
    console = make_console()
    if detach:
        status = background.start(state, console, settings.ready_timeout, counts, secure=secure)
        _show_addresses(console, state, status.gateways)
        return
    from penstock.devstack.run import Running, run_stack
    from penstock.devstack.screen import StackScreen

    async def work(running: Running) -> None:
        await running.supervisor.until_ready()
        running.screen.settled()
        _show_addresses(console, state, list(running.gateways.values()))
        console.print("Ctrl-C stops everything.")
        await asyncio.Event().wait()

    asyncio.run(run_stack(settings, state, StackScreen(console), work, counts, secure=secure))


@commands.command()
def scale(
    replicas: Annotated[
        list[str], typer.Argument(metavar="SERVICE=N...", help="For example: generation=3 gateway=2")
    ],
) -> None:
    """Start or stop replicas of services while the stack runs; returns when they are ready."""
    from penstock.devstack import scaling

    counts = parse_replicas(replicas)
    settings, state = here()
    running_here(state)
    console = make_console()
    now = scaling.scale(
        state, counts, lambda text: console.print(f"    {text}", markup=False), settings.ready_timeout
    )
    if GATEWAY in counts:
        _show_addresses(console, state, now.gateways)


@commands.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the answer.")] = False,
) -> None:
    """Start the stack, ingest e2e/sample, ask one question and say how to go on (`make run`)."""
    from penstock.devstack.demo import demo as show
    from penstock.devstack.demo import show_how_to_go_on
    from penstock.devstack.run import Running, run_stack
    from penstock.devstack.screen import StackScreen

    # The model that comes with it invents what it does not find; a rule of the user's own comes first.
    os.environ.setdefault("PENSTOCK_ANSWERS", "documents")
    settings, state = here()
    console = make_console()
    answered = False

    async def work(running: Running) -> None:
        nonlocal answered
        model = await show(running, state, console, settings.ready_timeout)
        answered = True
        if once:
            running.supervisor.stop()
            return
        show_how_to_go_on(running, state, console, model)
        console.print("Ctrl-C stops everything.")
        await asyncio.Event().wait()

    console.print("==> Starting the stack")
    asyncio.run(run_stack(settings, state, StackScreen(console), work))
    raise typer.Exit(0 if answered else 130)


@commands.command()
def down() -> None:
    """Stop the stack, wherever it was started. Does nothing if none runs."""
    _, state = here()
    stopped = background.stop(state)
    make_console().print("Stopped." if stopped else "No stack runs here.")


@commands.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs.")] = False,
) -> None:
    """Show the services. Exit code 0: all ready; 1: not all are, or no stack runs."""
    _, state = here()
    now = state.read()
    if as_json:
        sys.stdout.write((msgspec.json.encode(now) if now else b'{"pid":null,"ready":false}').decode() + "\n")
    elif now is None:
        make_console().print("No stack runs here: start one with `penstock up`.")
    else:
        console = make_console()
        console.print(status_table(now.services))
        _show_addresses(console, state, now.gateways)
    raise typer.Exit(0 if now and now.ready else 1)


@commands.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="How long each check may take.")] = 8.5,
) -> None:
    """Say what is wrong with the stack here, or why none runs, and what to do. Exit code 1: act."""
    from penstock.devstack.doctor.command import doctor_aloud

    work = doctor_aloud(make_console(), as_json=as_json, limit_s=seconds)
    raise typer.Exit(0 if asyncio.run(work) else 1)


@commands.command()
def logs(
    service: Annotated[
        str, typer.Argument(help="kafka, inference, generation-2, …, or supervisor; none: all of them.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Print the services' logs."""
    from penstock.devstack.logs import print_logs

    _, state = here()
    print_logs(state.logs, service, sys.stdout, follow=follow)


@commands.command()
def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    model: Annotated[str | None, typer.Option(help="Default: the first one that the gateway offers.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer in tokens.")] = None,
    answers: Annotated[
        AnswersFrom | None,
        typer.Option(help="What the answer may rest on; default: `penstock documents policy`."),
    ] = None,
    fallback: Annotated[
        Literal["quote"] | None, typer.Option(help="What to do while no model server is available.")
    ] = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Ask one question; prints the answer as it arrives, then its citations."""
    from penstock.devstack.talk import ask_aloud

    base, secret = gateway_here(url, key)
    work = ask_aloud(
        make_console(),
        base,
        secret,
        question,
        model=model,
        max_tokens=max_tokens,
        answers=answers,
        fallback=fallback,
    )
    asyncio.run(work)


@commands.command()
def ingest(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH|URL...", help="Files, folders, patterns, - for a list on standard input, or a URL."
        ),
    ],
    store: Annotated[str, typer.Option(help="A vector store; default: the one that questions search.")] = "",
    depth: Annotated[int, typer.Option(min=0, max=10, help="URL: follow links so far.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="URL: at most so many pages.")] = 1000,
    allow_private: Annotated[
        list[str] | None, typer.Option(metavar="NETWORK", help="URL: a network that is not public.")
    ] = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Bring documents into a store; returns when they can be found. Exit code 1 if one failed.

    A document that is there already and has not changed is left alone; a changed one is replaced.
    """
    from penstock.devstack.feed import crawled, found_here, ingest_aloud, is_url, local

    base, secret = gateway_here(url, key)
    if any(is_url(one) for one in what):
        if len(what) > 1:
            raise DevstackError("Give either one URL or paths")
        items, total = crawled(what[0], limit, depth, allow_private or []), None
    else:
        files = found_here(what)
        items, total = local(files), len(files)
    work = ingest_aloud(make_console(), base, secret, store or DEFAULT_STORE, items, total)
    raise typer.Exit(0 if asyncio.run(work) else 1)


@commands.command()
def reindex() -> None:
    """Make the index anew from the log, while questions are answered from the old one."""
    from penstock.devstack.reindex import reindex_aloud

    _, state = here()
    work = reindex_aloud(make_console(), running_here(state).indexes)
    try:
        asyncio.run(work)
    except* DevstackError as errors:
        raise errors.exceptions[0] from None


@commands.command()
def trace(
    request_id: Annotated[str, typer.Argument(help="That of an answer, or of a header x-request-id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs, with its records.")] = False,
) -> None:
    """Show where one request was when: its waits, its work, its first and last token, its errors."""
    from penstock.devstack.trace import trace_aloud

    asyncio.run(trace_aloud(make_console(), *observer_here(), request_id, as_json=as_json))


@commands.command()
def replay(
    since: Annotated[str, typer.Option(help="From when on: 10m, 2h, 3d ago, or an ISO time.")],
    until: Annotated[str | None, typer.Option(help="As --since; default: now.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many questions, oldest first.")] = 100,
    tenant: Annotated[str, typer.Option(help="Only this tenant's.")] = "",
    show: Annotated[
        bool, typer.Option("--show", help="The answers' texts, too, with what differs marked.")
    ] = False,
) -> None:
    """Ask recorded questions again and compare the answers. Exit code 1 if one was not completed."""
    from penstock.devstack.again import replay_aloud

    now_ms = time.time_ns() // 1_000_000
    since_ms = parse_time(since, now_ms)
    until_ms = parse_time(until, now_ms) if until else now_ms
    work = replay_aloud(
        make_console(), cluster_here(), since_ms, until_ms, tenant=tenant, limit=limit, show=show
    )
    raise typer.Exit(0 if asyncio.run(work) else 1)


for command in (upkeep.restart, upkeep.backup, upkeep.restore):
    commands.command()(command)
topics.commands.command()(growing.grow)


def _show_addresses(console: Console, state: StateDir, gateways: Sequence[str]) -> None:
    key = os.path.relpath(state.api_key)
    urls = "\n         ".join(f"{gateway}/v1" for gateway in gateways)
    logs = os.path.relpath(state.logs)
    shown = "".join(f"\nConsole  {gateway}/" for gateway in gateways[:1])
    console.print(Text(f"{shown}\nAPI      {urls}\nKey      {key}\nLogs     {logs}"))


if __name__ == "__main__":
    app()

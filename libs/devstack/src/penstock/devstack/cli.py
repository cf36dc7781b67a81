"""The ``penstock`` command."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from penstock.devstack import background
from penstock.devstack.errors import DevstackError
from penstock.devstack.screen import make_console, status_table
from penstock.devstack.settings import StackSettings, read_settings
from penstock.devstack.state import StackStatus, StateDir

# run, talk and demo import Kafka's client and more: half a second that `status` and `down` do without.

commands = typer.Typer(
    help="Penstock's local stack: start it, feed it documents, ask it questions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def app() -> None:
    """Entry point: a DevstackError becomes one line on standard error and exit code 1."""
    try:
        commands()
    except DevstackError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(Text(f"penstock: {error}"))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _here() -> tuple[StackSettings, StateDir]:
    settings = read_settings()
    return settings, StateDir(settings.state_folder())


def _running(state: StateDir) -> StackStatus:
    status = state.read()
    if status is None:
        raise DevstackError("No stack runs here: start one with `penstock up`")
    return status


@commands.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready; stop with down.")
    ] = False,
) -> None:
    """Start Kafka, the topics and every service, and keep them running."""
    settings, state = _here()
    console = make_console()
    if detach:
        status = background.start(state, console, settings.ready_timeout)
        _show_addresses(console, state, status.gateway)
        return
    from penstock.devstack.run import Running, run_stack
    from penstock.devstack.screen import StackScreen

    async def work(running: Running) -> None:
        await running.supervisor.until_ready()
        running.screen.settled()
        _show_addresses(console, state, running.addresses.gateway)
        console.print("Ctrl-C stops everything.")
        await asyncio.Event().wait()

    asyncio.run(run_stack(settings, state, StackScreen(console), work))


@commands.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the answer.")] = False,
) -> None:
    """Start the stack, ingest e2e/sample, ask one question and say how to go on (`make run`)."""
    from penstock.devstack.demo import demo as show
    from penstock.devstack.demo import show_how_to_go_on
    from penstock.devstack.run import Running, run_stack
    from penstock.devstack.screen import StackScreen

    settings, state = _here()
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
    _, state = _here()
    stopped = background.stop(state)
    make_console().print("Stopped." if stopped else "No stack runs here.")


@commands.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs.")] = False,
) -> None:
    """Show the services. Exit code 0: all ready; 1: not all are, or no stack runs."""
    _, state = _here()
    now = state.read()
    if as_json:
        sys.stdout.write((msgspec.json.encode(now) if now else b'{"pid":null,"ready":false}').decode() + "\n")
    elif now is None:
        make_console().print("No stack runs here: start one with `penstock up`.")
    else:
        console = make_console()
        console.print(status_table(now.services))
        _show_addresses(console, state, now.gateway)
    raise typer.Exit(0 if now and now.ready else 1)


@commands.command()
def logs(
    service: Annotated[
        str, typer.Argument(help="kafka, inference, …, or supervisor; none: all of them.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Print the services' logs."""
    from penstock.devstack.logs import print_logs

    _, state = _here()
    print_logs(state.logs, service, sys.stdout, follow=follow)


@commands.command()
def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    model: Annotated[str | None, typer.Option(help="Default: the first one that the gateway offers.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer in tokens.")] = None,
    url: Annotated[str | None, typer.Option(help="The gateway; default: the stack that runs here.")] = None,
    key: Annotated[
        str | None, typer.Option(envvar="PENSTOCK_API_KEY", help="Default: .penstock/api-key.")
    ] = None,
) -> None:
    """Ask one question; prints the answer as it arrives, then its citations."""
    from penstock.devstack.talk import ask_aloud, read_key

    _, state = _here()
    base = (url or _running(state).gateway).rstrip("/").removesuffix("/v1")
    secret = read_key(state) if key is None else key
    asyncio.run(ask_aloud(make_console(), base, secret, question, model=model, max_tokens=max_tokens))


@commands.command()
def ingest(
    path: Annotated[Path, typer.Argument(help="A folder, or a Markdown or text file.")],
    tenant: Annotated[
        str | None, typer.Option(help="Whose documents they are; default: the first key's tenant.")
    ] = None,
) -> None:
    """Bring documents into the index; returns when they can be found."""
    from penstock.devstack.talk import TENANT, ingest_aloud

    _, state = _here()
    stack = _running(state)
    asyncio.run(ingest_aloud(make_console(), path, stack.kafka, stack.backends, tenant=tenant or TENANT))


def _show_addresses(console: Console, state: StateDir, gateway: str) -> None:
    key = os.path.relpath(state.api_key)
    console.print(Text(f"\nAPI  {gateway}/v1\nKey  {key}\nLogs {os.path.relpath(state.logs)}"))


if __name__ == "__main__":
    app()

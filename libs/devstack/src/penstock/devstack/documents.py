"""``penstock documents``: what is in a store, and what a search finds there."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from penstock.devstack.errors import DevstackError
from penstock.devstack.plain import plain
from penstock.devstack.screen import make_console
from penstock.devstack.where import gateway_here
from penstock.messages.chat import AnswersFrom
from penstock.messages.search import DEFAULT_STORE

if TYPE_CHECKING:
    from penstock.devstack.stores import Result, StoreFile, Stores

commands = typer.Typer(help="Documents: see, search and delete them.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print it for programs.")]
StoreOption = Annotated[str, typer.Option("--store", help="Another vector store.")]
UrlOption = Annotated[str | None, typer.Option(help="The gateway; default: the stack that runs here.")]
KeyOption = Annotated[str | None, typer.Option(envvar="PENSTOCK_API_KEY", help="Default: .penstock/api-key.")]
Rule = Literal[AnswersFrom, "none"]
_TEXT_CHARACTERS = 300
_STYLES = {"completed": "green", "failed": "red", "cancelled": "dim"}


@commands.command("list")
def list_documents(
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
    status: Annotated[str, typer.Option(help="in_progress, completed, failed or cancelled.")] = "",
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show the documents of a store, oldest first."""

    async def work(stores: Stores, console: Console) -> None:
        found = [file async for file in stores.files() if status in ("", file.status)]
        if as_json:
            _print_json(found)
        elif found:
            console.print(_table(found))
        if not as_json:
            console.print("1 document" if len(found) == 1 else f"{len(found)} documents")

    run(work, store, url, key)


@commands.command()
def show(
    document: Annotated[str, typer.Argument(help="Its path as listed, or its file id.")],
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show one document: how far it is, or why it failed."""

    async def work(stores: Stores, console: Console) -> None:
        file = await _find(stores, document)
        if as_json:
            _print_json(file)
            return
        for name, value in _facts(file):
            console.print(Text(f"{name:<10} {plain(str(value))}"))

    run(work, store, url, key)


@commands.command()
def delete(
    documents: Annotated[list[str], typer.Argument(help="Paths as listed, or file ids.")],
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Delete documents: they are found no more, and their files are gone."""

    async def work(stores: Stores, console: Console) -> None:
        files = [await _find(stores, document) for document in documents]
        for file in files:
            await stores.delete(file.id)
        if as_json:
            _print_json([file.id for file in files])
        else:
            console.print("1 document deleted" if len(files) == 1 else f"{len(files)} documents deleted")

    run(work, store, url, key)


@commands.command()
def policy(
    answers: Annotated[
        Rule | None, typer.Argument(metavar="documents|model|quote|none", help="none: no rule of its own.")
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show or set what answers from a store rest on, where a question does not say.

    The rule of the store that everyone has counts for all questions of yours.
    """

    async def work(stores: Stores, console: Console) -> None:
        if answers is not None:
            await stores.set_policy(None if answers == "none" else answers)
        rule = await stores.policy()
        if as_json:
            _print_json({"answers": rule})
        else:
            console.print(rule or "none", markup=False)

    run(work, store, url, key)


@commands.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[int, typer.Option(min=1, max=50, help="At most so many passages.")] = 5,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Find passages, best first."""

    async def work(stores: Stores, console: Console) -> None:
        found = await stores.search(query, limit)
        if as_json:
            _print_json(found)
            return
        if not found:
            console.print("Nothing was found.")
        for result in found:
            console.print(_passage(result))

    run(work, store, url, key)


def run(
    work: Callable[[Stores, Console], Awaitable[None]], store: str, url: str | None, key: str | None
) -> None:
    """Does some work with a store, by the gateway that runs here or is named."""
    # The HTTP client takes a tenth of a second that other commands do without.
    from penstock.devstack.gateway import connected
    from penstock.devstack.stores import Stores

    async def all_of_it() -> None:
        async with connected(*gateway_here(url, key)) as client:
            await work(Stores(client, store), make_console())

    asyncio.run(all_of_it())


async def _find(stores: Stores, named: str) -> StoreFile:
    """The newest document of that path or id."""
    found = [file async for file in stores.files() if named in (file.path, file.id)]
    if not found:
        raise DevstackError(f"There is no document {named!r}: see `penstock documents list`")
    return found[-1]


def _table(files: list[StoreFile]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("document", "state", "pages", "chunks", "bytes", "file id", "why"):
        right = heading in ("pages", "chunks", "bytes")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for file in files:
        table.add_row(
            plain(file.path),
            Text(_state(file), style=_STYLES.get(file.status, "yellow")),
            str(file.pages or ""),
            str(file.chunks or ""),
            f"{file.usage_bytes:,}",
            file.id,
            plain(file.last_error.message) if file.last_error else "",
        )
    return table


def _state(file: StoreFile) -> str:
    return file.state if file.status == "in_progress" else file.status


def _facts(file: StoreFile) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [
        ("document", file.path),
        ("file", file.filename),
        ("file id", file.id),
        ("state", _state(file)),
        ("pages", file.pages or ""),
        ("chunks", file.chunks),
        ("bytes", f"{file.usage_bytes:,}"),
        ("sha256", file.sha256),
    ]
    if file.last_error:
        facts.append(("why", f"{file.last_error.message} ({file.last_error.code})"))
    return facts


def _passage(result: Result) -> Text:
    """File name, place, score, and the beginning of the text."""
    where = [f"page {result.page}"] if result.page else []
    where += [" > ".join(result.headings)] if result.headings else []
    where.append(f"characters {result.start}–{result.end}")
    text = " ".join(" ".join(part.text for part in result.content).split())
    shown = text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS].rstrip()}…"
    line = Text(plain(str(result.attributes.get("path", result.filename))), style="bold")
    line.append(f", {plain(', '.join(where))} ", style="not bold dim")
    line.append(f"({result.score:.2f})\n", style="not bold dim")
    return line.append(f"    {plain(shown)}", style="not bold")


def _print_json(value: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")

"""``penstock ingest``: what the user sees while documents are brought into a store."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table

from penstock.devstack.crawl.fetch import Fetched, Fetcher
from penstock.devstack.crawl.site import pages
from penstock.devstack.errors import DevstackError
from penstock.devstack.gateway import connected
from penstock.devstack.ingest import Progress, ingest
from penstock.devstack.local_files import MAX_PATH, Item, Skipped, find, read
from penstock.devstack.plain import plain
from penstock.devstack.stores import Stores

TELL_EVERY_S = 10.0
_SHOWN = 100


async def ingest_aloud(
    console: Console, url: str, key: str, store: str, items: AsyncIterator[Item | Skipped], total: int | None
) -> bool:
    """Shows files, pages, chunks, rate and time left, then what failed; True if nothing did.

    ``total`` is how many items there are, None if nobody knows. DevstackError if there is none.
    """
    started = monotonic()
    with Bar(
        TextColumn("    {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[more]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("files", total=total, more="")
        told = started

        def changed(now: Progress) -> None:
            nonlocal told
            seconds = monotonic() - started
            more = f"{now.chunks} chunks, {now.pages} pages, {now.chunks / max(seconds, 0.1):.0f} chunks/s"
            bar.update(task, completed=now.ended, total=total or now.found, more=more)
            if not console.is_terminal and monotonic() - told > TELL_EVERY_S:
                told = monotonic()
                console.print(f"    {now.ended} of {total or now.found} files; {more}")

        progress = Progress(changed)
        async with connected(url, key) as client:
            await ingest(Stores(client, store), items, progress)
    if not progress.found:
        raise DevstackError("There is nothing to ingest")
    if progress.failures:
        console.print(_failures(progress))
    console.print(f"    {_summary(progress, monotonic() - started)}", markup=False)
    return not progress.failures


async def local(arguments: Sequence[tuple[str, Path]]) -> AsyncGenerator[Item | Skipped, None]:
    """The files as items, each read when it is its turn."""
    for name, path in arguments:
        yield read(name, path)


async def crawled(
    url: str, limit: int, depth: int, private: Sequence[str]
) -> AsyncGenerator[Item | Skipped, None]:
    """The pages of a site as items. DevstackError if a network in ``private`` cannot be read."""
    try:
        allowed = [ip_network(network) for network in private]
    except ValueError as error:
        raise DevstackError(f"--allow-private takes networks such as 10.1.0.0/16: {error}") from error
    async with Fetcher(allowed) as fetcher, aclosing(pages(fetcher, url, limit, depth=depth)) as found:
        async for page in found:
            yield _item(page) if isinstance(page, Fetched) else Skipped(page.url, page.reason)


def found_here(arguments: Sequence[str]) -> list[tuple[str, Path]]:
    """Files by their names. DevstackError if there are none."""
    return find(arguments, sys.stdin)


def is_url(argument: str) -> bool:
    """True for what is to be crawled."""
    return argument.startswith(("http://", "https://"))


def _item(page: Fetched) -> Item | Skipped:
    if len(page.url) > MAX_PATH:
        return Skipped(page.url[:MAX_PATH], f"its address has more than {MAX_PATH} characters")
    name = page.file_name.replace("/", "_")
    return Item(page.url, name, page.body, sha256(page.body).hexdigest())


def _failures(progress: Progress) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 4), header_style="dim")
    table.add_column("failed", overflow="fold")
    table.add_column("why", overflow="fold")
    for name, reason in progress.failures[:_SHOWN]:
        table.add_row(plain(name), plain(reason))
    if len(progress.failures) > _SHOWN:
        table.add_row(
            "…", f"{len(progress.failures) - _SHOWN} more: `penstock documents list --status failed`"
        )
    return table


def _summary(progress: Progress, seconds: float) -> str:
    parts = [f"{progress.indexed} documents indexed"]
    if progress.unchanged:
        parts.append(f"{progress.unchanged} unchanged")
    if progress.failures:
        parts.append(f"{len(progress.failures)} failed")
    counts = f"{progress.chunks} chunks" + (f", {progress.pages} pages" if progress.pages else "")
    return f"{', '.join(parts)}: {counts} in {seconds:.1f} s"

"""``penstock reindex``: every retrieval replica makes its index anew, while it answers from the old one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx2
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from penstock.devstack.errors import DevstackError

_POLL_S = 0.3
_BUSY = 409


class _Index(msgspec.Struct):
    """How far a replica is, in records of the log."""

    running: bool
    done: int = 0
    total: int = 0
    error: str = ""


async def reindex_aloud(console: Console, urls: Sequence[str]) -> None:
    """Returns when all replicas answer from their new index. DevstackError if one gives up."""
    columns = (TextColumn("    {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            async with asyncio.TaskGroup() as tasks:
                for number, url in enumerate(urls, 1):
                    tasks.create_task(_one(client, url, bar, f"index {number}"))
    console.print(f"    {len(urls)} made anew" if len(urls) > 1 else "    The index was made anew.")


async def _one(client: httpx2.AsyncClient, url: str, bar: Progress, name: str) -> None:
    task = bar.add_task(name, total=None)
    try:
        begun = await client.post(f"{url}/reindex")
        if begun.status_code not in (202, _BUSY):  # one that is being made already is followed
            raise DevstackError(f"{url}/reindex answered HTTP {begun.status_code}")
        while True:
            response = await client.get(f"{url}/reindex")
            index = msgspec.json.decode(response.content, type=_Index)
            bar.update(task, completed=index.done, total=index.total or None)
            if not index.running:
                break
            await asyncio.sleep(_POLL_S)
    except (httpx2.HTTPError, msgspec.DecodeError) as error:
        raise DevstackError(
            f"{url} does not answer ({type(error).__name__}): see `penstock status`"
        ) from error
    if index.error:
        raise DevstackError(f"{name} was not made anew: {index.error}. The old one is still in use.")

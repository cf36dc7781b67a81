"""HTTP beside a worker: a server whose signals are the worker's, and works of which the first ends all."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


class Server(uvicorn.Server):
    """Uvicorn, but for signals: it would raise them again when it ends, before the worker has closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def first_done(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Return, or raise, when the first of some works is done; the others are given up."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

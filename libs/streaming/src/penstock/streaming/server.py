"""HTTP beside a worker: a server whose signals are the worker's, and works of which the first ends all."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

_TICK_SECONDS = 1.0
"""How often the header `date` changes."""


class Server(uvicorn.Server):
    """Uvicorn, but for signals, which it would raise again when it ends, before the worker has closed.

    It does not look ten times a second whether it should exit, either: it is told.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        self._told = asyncio.Event()
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        """Whether it ends; set in the thread of its event loop."""
        return self._told.is_set()

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if value:
            self._told.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), _TICK_SECONDS)

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

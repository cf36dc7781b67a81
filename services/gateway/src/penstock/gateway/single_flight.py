"""One piece of work for all who want its result at the same time, as golang.org/x/sync/singleflight does."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context
from typing import Any, Generic, TypeVar

import structlog

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")
log = structlog.get_logger(__name__)


class SingleFlight(Generic[Key, Result]):
    """Work by key. It goes on when those who waited for it have left."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: dict[Key, asyncio.Task[Result]] = {}

    async def do(self, key: Key, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return the result of the work of this key, which is begun unless it runs. Raises what it raises."""
        return await asyncio.shield(self.start(key, work))

    def start(self, key: Key, work: Callable[[], Coroutine[Any, Any, Result]]) -> asyncio.Task[Result]:
        """Begin the work of this key unless it runs, and return it."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(work(), context=Context())
            task.add_done_callback(lambda done: self._ended(key, done))
        return task

    def forget(self, key: Key) -> None:
        """Give what runs now to nobody else: its result may be out of date."""
        self._running.pop(key, None)

    def runs_now(self, key: Key) -> bool:
        """Return whether the task that calls this is the one of this key, not a forgotten one."""
        return self._running.get(key) is asyncio.current_task()

    async def close(self) -> None:
        """Cancel all that runs."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, key: Key, task: asyncio.Task[Result]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        # Perhaps nobody waits for it any more, and sees why it failed.
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("shared_work_failed", what=self._name, reason=str(error) or type(error).__name__)

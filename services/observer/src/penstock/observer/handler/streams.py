"""Streams of changes to those who watch: few of them, and none is waited for."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from penstock.observer.domain.errors import busy
from penstock.observer.domain.requests import Request
from penstock.observer.domain.viewer import Viewer

MAX_WATCHERS = 64
PACE_SECONDS = 0.2
HEARTBEAT_SECONDS = 15.0


class Places:
    """So many watch at once; one more is refused."""

    def __init__(self, limit: int = MAX_WATCHERS) -> None:
        self._free = limit

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have a place while the block runs. Raises ApiError 503."""
        if self._free <= 0:
            raise busy("streams")
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


@dataclass(eq=False)
class _Watcher:
    """Who watches requests, and which have changed since it was told last: each counts once."""

    viewer: Viewer
    changed: dict[str, Request] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Changes:
    """Passes changes of requests on. A watcher that is slow gets the last state of each, never a queue."""

    def __init__(self) -> None:
        self._watchers: set[_Watcher] = set()

    def tell(self, request: Request) -> None:
        """Tell all who may see it that a request has changed."""
        for watcher in self._watchers:
            if watcher.viewer.sees(request.tenant):
                watcher.changed[request.id] = request
                watcher.news.set()

    async def watch(
        self, viewer: Viewer, looking: Callable[[], None], heartbeat: float = HEARTBEAT_SECONDS
    ) -> AsyncGenerator[list[Request], None]:
        """Yield what has changed, at most every PACE_SECONDS, and [] after `heartbeat` seconds of rest.

        `looking` is called again and again, so that the line is followed all the while.
        """
        watcher = _Watcher(viewer)
        self._watchers.add(watcher)
        try:
            while True:
                looking()
                try:
                    await asyncio.wait_for(watcher.news.wait(), heartbeat)
                except TimeoutError:
                    yield []
                    continue
                watcher.news.clear()
                changed, watcher.changed = watcher.changed, {}
                yield list(changed.values())
                await asyncio.sleep(PACE_SECONDS)
        finally:
            self._watchers.discard(watcher)

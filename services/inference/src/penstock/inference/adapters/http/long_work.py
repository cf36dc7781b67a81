"""Work that takes too long for the event loop, where every stream would wait for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from penstock.inference.domain.errors import OverloadedError

T = TypeVar("T")

SHORT_CHARACTERS = 4000
"""A text of so many is tokenized at once (see the README for what that takes)."""
MAX_WAITING = 16


class LongWork:
    """One thread for long texts; short ones are not worth the way there and back. Used on one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="long-work")
        self._waiting = 0

    async def run(self, characters: int, work: Callable[[], T]) -> T:
        """Return what `work`, on a text so long, returns. Raises OverloadedError when too much waits."""
        if characters <= SHORT_CHARACTERS:
            return work()
        if self._waiting >= MAX_WAITING:
            raise OverloadedError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        """Begin nothing more; does not wait."""
        self._threads.shutdown(wait=False, cancel_futures=True)

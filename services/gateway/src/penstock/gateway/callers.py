"""Callers by what they show, looked up once and remembered for a short time."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import NamedTuple

import structlog

from penstock.gateway.domain.caller import Caller
from penstock.gateway.ports import AccountsAway

LookUp = Callable[[str], Awaitable[Caller | None]]
"""Returns whose digest this is. May raise AccountsAway."""
log = structlog.get_logger(__name__)


class _Known(NamedTuple):
    """A cached answer: invalid from `until` on, and refreshed in the background from `renewed` on."""

    caller: Caller | None
    until: float
    renewed: float


class Callers:
    """Finds the caller of a digest, a key's or a session's.

    An answer, "nobody" as well, is remembered for `ttl_s` seconds: so long may a revoked key still work. One
    that is asked for in the second half of that time is looked up meanwhile, so that who is in constant use
    never waits for the database. All who wait for the same digest share one look-up.
    At most `size` of each are remembered; wrong ones have a list of their own, so that guessing evicts none.
    """

    def __init__(self, look_up: LookUp, now: Callable[[], float], ttl_s: float, size: int) -> None:
        self._look_up = look_up
        self._now = now
        self._ttl_s = ttl_s
        self._size = size
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._nobody: OrderedDict[str, _Known] = OrderedDict()
        self._looking: dict[str, asyncio.Task[Caller | None]] = {}

    async def find(self, digest: str) -> Caller | None:
        """Return whose digest this is, None if nobody's. Raises AccountsAway."""
        now = self._now()
        known = self._known.get(digest) or self._nobody.get(digest)
        if known is None or known.until <= now:
            return await asyncio.shield(self._shared(digest))
        if known.renewed <= now and digest not in self._looking:
            self._shared(digest)
        return known.caller

    def forget(self, digest: str) -> None:
        """Drop what is cached, and the result of a look-up that runs now, which may be out of date."""
        self._known.pop(digest, None)
        self._looking.pop(digest, None)

    def _shared(self, digest: str) -> asyncio.Task[Caller | None]:
        """Return the look-up of a digest, which belongs to nobody's request alone."""
        task = self._looking.get(digest)
        if task is None:
            task = asyncio.create_task(self._find(digest, self._now()), context=Context())
            task.add_done_callback(_told)  # perhaps nobody waits for it, or no more
            self._looking[digest] = task
        return task

    async def _find(self, digest: str, now: float) -> Caller | None:
        mine = asyncio.current_task()
        try:
            caller = await self._look_up(digest)
            if self._looking.get(digest) is mine:
                self._remember(digest, _Known(caller, now + self._ttl_s, now + self._ttl_s / 2))
        finally:
            if self._looking.get(digest) is mine:
                del self._looking[digest]
        return caller

    def _remember(self, digest: str, known: _Known) -> None:
        cache, other = self._known, self._nobody
        if known.caller is None:
            cache, other = other, cache
        other.pop(digest, None)
        cache[digest] = known
        cache.move_to_end(digest)
        while len(cache) > self._size:
            cache.popitem(last=False)


def _told(task: asyncio.Task[Caller | None]) -> None:
    """Log why a refresh failed; the next request that needs the answer looks it up, and gets the error."""
    if not task.cancelled() and isinstance(error := task.exception(), AccountsAway):
        log.warning("caller_not_looked_up", reason=str(error))

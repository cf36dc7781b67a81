"""Callers by what they show, looked up once and remembered for a short time."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from penstock.gateway.domain.caller import Caller
from penstock.gateway.single_flight import SingleFlight

LookUp = Callable[[str], Awaitable[Caller | None]]
"""Returns whose digest this is. May raise AccountsAway."""


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
        self._looking = SingleFlight[str, Caller | None]("caller")

    async def find(self, digest: str) -> Caller | None:
        """Return whose digest this is, None if nobody's. Raises AccountsAway."""
        now = self._now()
        known = self._known.get(digest) or self._nobody.get(digest)
        if known is None or known.until <= now:
            return await self._looking.do(digest, lambda: self._find(digest, now))
        if known.renewed <= now:
            self._looking.start(digest, lambda: self._find(digest, now))
        return known.caller

    def forget(self, digest: str) -> None:
        """Drop what is cached, and the result of a look-up that runs now, which may be out of date."""
        self._known.pop(digest, None)
        self._looking.forget(digest)

    async def _find(self, digest: str, now: float) -> Caller | None:
        caller = await self._look_up(digest)
        if self._looking.runs_now(digest):
            self._remember(digest, _Known(caller, now + self._ttl_s, now + self._ttl_s / 2))
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

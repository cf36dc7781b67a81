"""Callers by what they show, looked up once and remembered for a short time."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from penstock.gateway.domain.caller import Caller

T = TypeVar("T")
LookUp = Callable[[str], Awaitable[Caller | None]]
"""Returns whose digest this is. May raise AccountsAway."""


class Callers:
    """Finds the caller of a digest, a key's or a session's.

    An answer, "nobody" as well, is remembered for `ttl_s` seconds: so long may a revoked key still work.
    At most `size` of each are remembered; wrong ones have a list of their own, so that guessing evicts none.
    """

    def __init__(self, look_up: LookUp, now: Callable[[], float], ttl_s: float, size: int) -> None:
        self._look_up = look_up
        self._now = now
        self._ttl_s = ttl_s
        self._size = size
        self._known: OrderedDict[str, tuple[float, Caller]] = OrderedDict()
        self._nobody: OrderedDict[str, tuple[float, None]] = OrderedDict()

    async def find(self, digest: str) -> Caller | None:
        """Return whose digest this is, None if nobody's. Raises AccountsAway."""
        now = self._now()
        known = self._known.get(digest) or self._nobody.get(digest)
        if known is not None and known[0] > now:
            return known[1]
        caller = await self._look_up(digest)
        if caller is None:
            self.forget(digest)
            _remember(self._nobody, digest, (now + self._ttl_s, None), self._size)
        else:
            self._nobody.pop(digest, None)
            _remember(self._known, digest, (now + self._ttl_s, caller), self._size)
        return caller

    def forget(self, digest: str) -> None:
        """Look this one up anew the next time."""
        self._known.pop(digest, None)


def _remember(
    cache: "OrderedDict[str, tuple[float, T]]", digest: str, entry: "tuple[float, T]", size: int
) -> None:
    cache[digest] = entry
    cache.move_to_end(digest)
    while len(cache) > size:
        cache.popitem(last=False)

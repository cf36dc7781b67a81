"""The vectors of queries: none is embedded twice within a short time."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from penstock.retrieval.domain.passages import Vector
from penstock.retrieval.ports import Embedder

MAX_NUMBERS = 1 << 18
"""So many numbers of vectors are kept: some 8 MiB, which are 680 queries of 384."""
KEPT_S = 300.0
"""So long a vector is kept, in seconds: what embeds may come back with another model."""

MOST_EXPECTED = 16
"""Calls that may run when one is begun ahead of time: in a rush it would only take another's turn."""


class _Coming(NamedTuple):
    """The vector of a query is, or will be, in the result of a call, at a place there."""

    call: "asyncio.Task[list[Vector]]"
    place: int
    until: float


class QueryVectors:
    """Embeds queries, each once for all who ask for it at the same time, and for a while after.

    Of a text only its digest is kept, of a failure nothing. `now` gives seconds of a clock.
    """

    def __init__(self, embedder: Embedder, now: Callable[[], float] = time.monotonic) -> None:
        self._embedder = embedder
        self._now = now
        self._running = 0
        self._known: OrderedDict[bytes, _Coming] = OrderedDict()

    async def of(self, queries: Sequence[str]) -> list[Vector]:
        """Return one vector a query, in order. Raises TransientError or PermanentError."""
        # Others may wait for the same call: who is cancelled does not cancel it.
        return [(await asyncio.shield(one.call))[one.place] for one in self._begin(queries)]

    def expect(self, query: str) -> None:
        """Have a query embedded that will be asked for soon, unless there is enough to do."""
        if self._running < MOST_EXPECTED:
            self._begin([query])

    def _begin(self, queries: Sequence[str]) -> list[_Coming]:
        """Have the queries embedded of which nothing is known, in one call; return where each will be."""
        digests = [
            blake2b(query.encode(errors="surrogatepass"), digest_size=16).digest() for query in queries
        ]
        new = {d: query for d, query in zip(digests, queries, strict=True) if not self._knows(d)}
        if new:
            call = asyncio.create_task(self._embedder.embed(list(new.values())))
            until = self._now() + KEPT_S
            for place, digest in enumerate(new):
                self._known[digest] = _Coming(call, place, until)
                self._known.move_to_end(digest)
            self._running += 1
            call.add_done_callback(lambda call: self._ended(call, list(new)))
        return [self._known[digest] for digest in digests]

    def _knows(self, digest: bytes) -> bool:
        coming = self._known.get(digest)
        if coming is None or coming.until < self._now():
            return False
        self._known.move_to_end(digest)
        return True

    def _ended(self, call: "asyncio.Task[list[Vector]]", digests: Sequence[bytes]) -> None:
        self._running -= 1
        if call.cancelled() or call.exception() is not None:  # which is told to those who wait, if any do
            for digest in digests:
                if digest in self._known and self._known[digest].call is call:
                    del self._known[digest]
            return
        most = MAX_NUMBERS // max(1, len(call.result()[0]))
        while len(self._known) > most:
            self._known.popitem(last=False)

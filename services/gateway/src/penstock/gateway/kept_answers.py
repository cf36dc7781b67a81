"""Answers that were read back from the log, kept up to date for clients that are about to come."""

import asyncio
from collections import deque
from contextlib import ExitStack
from typing import NamedTuple

from penstock.gateway.domain.answer import Answer

KEPT_S = 20.0
"""Longer than clients usually rest before they try again."""
MAX_CHARS = 1 << 22
EMPTY_CHARS = 512
"""What an answer takes beside its text, so that many short ones are bounded, too."""
TICK_S = 1.0


class _Kept(NamedTuple):
    since: float
    hold: ExitStack
    answer: Answer

    @property
    def size(self) -> int:
        """In characters."""
        return EMPTY_CHARS + self.answer.length


class KeptAnswers:
    """Holds each answer for `KEPT_S`, or until it is the oldest of too many characters in all.

    None goes within `TICK_S`: those who waited while it was read need a moment to follow it themselves.
    """

    def __init__(self) -> None:
        self._kept: deque[_Kept] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, hold: ExitStack, answer: Answer) -> None:
        """Hold what keeps an answer up to date."""
        self._kept.append(_Kept(asyncio.get_running_loop().time(), hold, answer))
        self._timer = self._timer or self._soon()

    def close(self) -> None:
        """Let all go."""
        if self._timer is not None:
            self._timer.cancel()
        while self._kept:
            self._kept.popleft().hold.close()

    def _soon(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        chars = sum(kept.size for kept in self._kept)
        while self._kept:
            age_s = now - self._kept[0].since
            if age_s < KEPT_S and (chars <= MAX_CHARS or age_s < TICK_S):
                break
            oldest = self._kept.popleft()
            chars -= oldest.size
            oldest.hold.close()
        self._timer = self._soon() if self._kept else None

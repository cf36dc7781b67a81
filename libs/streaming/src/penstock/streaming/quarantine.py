"""When too much of what arrives is no event, a stage stops rather than empty its topic into the dead letters.

The cause is then most likely one for people: a wrong producer, a newer version of an event. What was not
taken stays in its topic, and a restart goes on from there.
"""

from collections import deque
from typing import NamedTuple

WINDOW = 400
LEAST = 200


class Tolerance(NamedTuple):
    """So many invalid records in a row, or such a share of the last WINDOW (at least LEAST), is too much."""

    run: int = 100
    share: float = 0.5


class Quarantine:
    """Watches one stage's records; `reason` is None until there is one to stop."""

    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self._run = 0
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._invalid = 0
        self.reason: str | None = None

    def saw(self, *, valid: bool) -> None:
        """Take note of one record."""
        if len(self._last) == WINDOW:
            self._invalid -= not self._last[0]
        self._last.append(valid)
        self._invalid += not valid
        self._run = 0 if valid else self._run + 1
        if self._run > self._tolerance.run:
            self._stop(f"{self._run} invalid records in a row")
        elif len(self._last) >= LEAST and self._invalid > self._tolerance.share * len(self._last):
            self._stop(f"{self._invalid} of the last {len(self._last)} records are invalid")

    def _stop(self, what: str) -> None:
        self.reason = self.reason or f"{what}: no more are taken; see `penstock dlq list`, then restart"

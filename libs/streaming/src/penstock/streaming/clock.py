"""The broker's clock, which all services go by.

Deadlines and the ages of requests are compared by many machines, whose clocks may be minutes apart. Each
service therefore corrects its own clock by what the broker stamps on records (LogAppendTime).
"""

import time
from collections import deque
from collections.abc import Callable

_KEPT = 64
_LATEST_MS = 30_000
"""After so long a record that is not acknowledged is given up: an older acknowledgement tells of a step."""


def unix_ms() -> int:
    """Return Unix time in milliseconds, by this machine's clock."""
    return time.time_ns() // 1_000_000


def steady_ms(
    wall_ns: Callable[[], int] = time.time_ns, monotonic_ns: Callable[[], int] = time.monotonic_ns
) -> Callable[[], int]:
    """Return a clock of Unix milliseconds that begins at this machine's time and never steps after that."""
    began_ns = wall_ns() - monotonic_ns()
    return lambda: (began_ns + monotonic_ns()) // 1_000_000


class BrokerClock:
    """Tells Unix milliseconds by the broker's clock, as well as that is known.

    An acknowledgement shows the difference between the clocks, less the time it took to arrive; the best of
    the last few is taken. Until the first one the youngest record that was read serves: it can be old, but
    then deadlines only seem later than they are. When somebody sets this machine's clock, nothing changes:
    `local_ms` (Unix milliseconds) must not step.
    """

    def __init__(self, local_ms: Callable[[], int] | None = None) -> None:
        self._local_ms = local_ms or steady_ms()
        self._acknowledged: deque[int] = deque(maxlen=_KEPT)
        self._read: int | None = None
        self._ahead = 0

    def __call__(self) -> int:
        return self._local_ms() + self._ahead

    def likely(self) -> int:
        """Return the likeliest time: this machine's until an acknowledgement has told more.

        Other than the time for deadlines, it may be too late.
        """
        return self() if self._acknowledged else self._local_ms()

    def acknowledged(self, stamp_ms: int) -> None:
        """Take note of the broker's time in an acknowledgement that has just come."""
        ahead = stamp_ms - self._local_ms()
        if ahead < self._ahead - _LATEST_MS:
            self._acknowledged.clear()  # the broker's clock was set back
        self._acknowledged.append(ahead)
        self._ahead = max(self._acknowledged)

    def read(self, stamp_ms: int) -> None:
        """Take note of the broker's time on a record that was read."""
        if not self._acknowledged:
            ahead = stamp_ms - self._local_ms()
            self._ahead = self._read = ahead if self._read is None else max(self._read, ahead)

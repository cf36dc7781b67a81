"""The broker's clock, which all services go by.

Deadlines and the ages of requests are compared by many machines, whose clocks may be minutes apart. Each
service therefore corrects its own clock by what the broker stamps on records (LogAppendTime).
"""

import time
from collections import deque
from collections.abc import Callable

_KEPT = 64


def unix_ms() -> int:
    """Return Unix time in milliseconds, by this machine's clock."""
    return time.time_ns() // 1_000_000


class BrokerClock:
    """Tells Unix milliseconds by the broker's clock, as well as that is known.

    An acknowledgement shows the difference between the clocks, less the time it took to arrive; the best of
    the last few is taken. Until the first one the youngest record that was read serves: it can be old, but
    then deadlines only seem later than they are.
    """

    def __init__(self, local_ms: Callable[[], int] = unix_ms) -> None:
        self._local_ms = local_ms
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
        self._acknowledged.append(stamp_ms - self._local_ms())
        self._ahead = max(self._acknowledged)

    def read(self, stamp_ms: int) -> None:
        """Take note of the broker's time on a record that was read."""
        if not self._acknowledged:
            ahead = stamp_ms - self._local_ms()
            self._ahead = self._read = ahead if self._read is None else max(self._read, ahead)

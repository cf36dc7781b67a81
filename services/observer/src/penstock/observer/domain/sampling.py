"""Which traces are kept for good, once they have ended."""

from typing import NamedTuple

_RANDOM_BITS = 56  # of a trace id, its last seven bytes (W3C Trace Context, level 2)


class Sampling(NamedTuple):
    """Of ordinary traces the share `share` is kept, of those that failed, were retried or slow all.

    A trace is judged when nothing of it has come for `quiet_ms`; slow is what took `slow_ms` or longer.
    """

    share: float = 1.0
    slow_ms: int = 10_000
    quiet_ms: int = 5_000

    @property
    def keeps_all(self) -> bool:
        """Whether there is nothing to judge."""
        return self.share >= 1

    def keeps(self, trace_id: bytes, took_ns: int, *, noted: bool) -> bool:
        """Return whether a trace stays; the same for a trace whenever it is asked, and in every process."""
        if noted or took_ns >= self.slow_ms * 1_000_000:
            return True
        drawn = int.from_bytes(trace_id[-7:], "big")
        return drawn < self.share * (1 << _RANDOM_BITS)

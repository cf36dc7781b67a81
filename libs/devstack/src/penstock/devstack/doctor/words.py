"""Sizes and lists as the findings tell them."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 6


def size(count: int) -> str:
    """Bytes in words: ``3.2 GB``, ``17 MB``, ``210 kB``."""
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= bytes_:
            return f"{count / bytes_:.1f} {unit}" if count < 10 * bytes_ else f"{count // bytes_} {unit}"
    return f"{count} bytes"


def some(names: Sequence[str]) -> str:
    """The first few of a list, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def many(count: int, what: str) -> str:
    """``1 record``, ``2 records``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def age(seconds: float) -> str:
    """A time span in words: ``45 s``, ``10 min``, ``2 h``, ``3 days``."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"

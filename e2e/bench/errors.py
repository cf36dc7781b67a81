"""The one error of the benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class BenchError(Exception):
    """The run is void; the text is one line and says why."""


@contextmanager
def first_error() -> Iterator[None]:
    """Around a task group: lets the first error out by itself, as the others only follow from it."""
    try:
        yield
    except ExceptionGroup as group:
        raise group.exceptions[0] from None

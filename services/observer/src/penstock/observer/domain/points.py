"""The last value of every metric that processes tell."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

SILENT_MS = 45_000
"""More than two heartbeats of a process without news (`penstock.telemetry.news`)."""
_SWEEP_MS = 1_000
MAX_SERIES = 20_000
Value = str | int | float | bool


class Source(NamedTuple):
    """A process: its service without `penstock-`, and its instance."""

    service: str
    instance: str


class Point(NamedTuple):
    """A number that a process told; of a histogram, the sum of what was measured."""

    source: Source
    name: str
    attributes: Mapping[str, Value]
    value: float
    time_ms: int


class Last(NamedTuple):
    """A series' last point, and how fast it grew a second since the one before (None: it is the first)."""

    point: Point
    per_second: float | None
    heard_ms: int


_Series = tuple[Source, str, frozenset[tuple[str, Value]]]


class LastPoints:
    """Of every series the last point, until it is silent. `now_ms` is Unix time."""

    def __init__(self, now_ms: Callable[[], int], limit: int = MAX_SERIES) -> None:
        self._now_ms = now_ms
        self._limit = limit
        self._series: dict[_Series, Last] = {}
        self._swept_ms = 0

    def take(self, points: Iterable[Point]) -> int:
        """Keep points; return how many had no room."""
        now, refused = self._now_ms(), 0
        self._sweep(now)
        for point in points:
            key = (point.source, point.name, frozenset(point.attributes.items()))
            before = self._series.get(key)
            if before is None and len(self._series) >= self._limit:
                refused += 1
            else:
                self._series[key] = Last(point, _rate(before, point), now)
        return refused

    def of(self, name: str, service: str = "") -> list[Last]:
        """Return the last points of a metric, of all processes or those of one service."""
        self._sweep(self._now_ms())
        return [
            last
            for (source, named, _), last in self._series.items()
            if named == name and service in ("", source.service)
        ]

    def sources(self, service: str) -> list[Source]:
        """Return the processes of a service that tell something."""
        self._sweep(self._now_ms())
        return sorted({source for source, *_ in self._series if source.service == service})

    def _sweep(self, now: int) -> None:
        if now - self._swept_ms < _SWEEP_MS:
            return
        self._swept_ms = now
        for key in [key for key, last in self._series.items() if now - last.heard_ms > SILENT_MS]:
            del self._series[key]


def _rate(before: Last | None, point: Point) -> float | None:
    if before is None:
        return None
    passed = point.time_ms - before.point.time_ms
    if passed <= 0:
        return before.per_second
    return max(0.0, point.value - before.point.value) / passed * 1000

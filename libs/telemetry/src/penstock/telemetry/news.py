"""Metrics that go out when they tell something new: a process that does nothing sleeps."""

import math
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader

from penstock.telemetry.instruments import looked_up

LOOK_SECONDS = 2.0
HEARTBEAT_SECONDS = 20.0
"""After so long a process is heard of also without news; a receiver must not forget it earlier."""


class News:
    """Tells whether something is to be said: something has changed, or nothing was said for a while.

    What has come to rest is said once more, so that a rate ends at 0. `clock` gives seconds.
    """

    def __init__(
        self, values: Callable[[], object] = looked_up, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._values = values
        self._clock = clock
        self._last: object = None
        self._moved = True
        self._silent_since = -math.inf

    def due(self) -> bool:
        """Look whether something is to be said now."""
        values = self._values()
        moved, self._moved = self._moved, values != self._last
        self._last = values
        return self._moved or moved or self._clock() - self._silent_since >= HEARTBEAT_SECONDS

    def said(self) -> None:
        """Note that it was said, and heard."""
        self._silent_since = self._clock()

    def unheard(self) -> None:
        """Note that it was not: it is to be said again at the next look."""
        self._silent_since = -math.inf


class NewsReader(PeriodicExportingMetricReader):
    """Collects and exports when there is news; `failed` says whether the last export did."""

    def __init__(self, exporter: MetricExporter, failed: Callable[[], bool]) -> None:
        super().__init__(exporter, math.inf)
        self._failed = failed
        self._ending = Event()
        self._looking = Thread(target=self._look, name="telemetry-news", daemon=True)
        self._looking.start()

    def _look(self) -> None:
        news = News()
        while not self._ending.wait(LOOK_SECONDS):
            if news.due():
                self.collect()
                (news.unheard if self._failed() else news.said)()
        self.collect()

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Export once more, and let go."""
        self._ending.set()
        self._looking.join(timeout_millis / 1000)
        super().shutdown(timeout_millis, **kwargs)

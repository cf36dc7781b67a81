"""Where spans, and what else OpenTelemetry batches, go: to places that may be slow, wrong or absent.

None of that may cost a service more than what it drops. A place that fails is told of once when it begins to
fail and once when it works again; in between it is tried only now and then, and nothing is encoded for it.
"""

import atexit
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import structlog
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

PAUSE_SECONDS = 2.0
"""For how long a place that has failed is left alone; what is to be exported meanwhile is lost."""
EXIT_SECONDS = 2.0
"""For how long the end of a process waits for what is still to be exported, all places together."""
log = structlog.get_logger(__name__)


class Watched(SpanExporter, LogRecordExporter):
    """An exporter of spans or log records to `place` (a URL, for people), made when it is first needed.

    Making one takes a quarter of a second of imports, which the start of a process does not wait for: it
    happens in the thread of the batch processor, as all exports do.
    """

    def __init__(
        self, place: str, make: Callable[[], Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._place = place
        self._make = make
        self._clock = clock
        self._exporter: Any = None
        self._failing = False
        self._not_before = 0.0

    def export(self, batch: Any) -> Any:
        """Export, or drop the batch of a place that has failed a moment ago."""
        if self._exporter is None:
            self._exporter = self._make()
        if self._clock() < self._not_before:
            return SpanExportResult.FAILURE
        result = self._exporter.export(batch)
        self._note(failed=result.name != "SUCCESS")
        return result

    def shutdown(self) -> None:
        """Let go of the connection; an export that is waiting to be repeated is given up."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002  # the interface's
        """Nothing is kept here."""
        return True

    def _note(self, *, failed: bool) -> None:
        if failed:
            self._not_before = self._clock() + PAUSE_SECONDS
        if failed and not self._failing:
            log.warning("telemetry_not_exported", to=self._place, retried_after_s=PAUSE_SECONDS)
        elif self._failing and not failed:
            log.info("telemetry_exported_again", to=self._place)
        self._failing = failed


class AtExit:
    """Flushes and closes exports when the process ends, side by side, but never holds it up for long.

    Threads of its own do it, started early: none can be started while the interpreter goes down.
    """

    def __init__(self, seconds: float = EXIT_SECONDS) -> None:
        self._seconds = seconds
        self._ending = Event()
        self._threads: list[Thread] = []

    def add(self, shutdown: Callable[[], object]) -> None:
        """Have something shut down at the end."""
        if not self._threads:
            atexit.register(self.run)

        def at_the_end() -> None:
            self._ending.wait()
            shutdown()

        thread = Thread(target=at_the_end, name="telemetry-exit", daemon=True)
        self._threads.append(thread)
        thread.start()

    def run(self) -> None:
        """Shut all down now, and wait for it at most the time that is allowed."""
        self._ending.set()
        until = time.monotonic() + self._seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

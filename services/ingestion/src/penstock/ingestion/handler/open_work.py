"""How much work is open, looked up now and then for the metrics."""

from collections.abc import Callable, Iterator, Mapping

from penstock.ingestion.ports import Census, Jobs
from penstock.telemetry import metric_catalog, names
from penstock.telemetry.instruments import Attributes, Read
from penstock.telemetry.metric_definition import MetricDefinition

_STATES = ("queued", "parsing", "embedding", "indexing")


class OpenWork:
    """`now_ms` gives Unix milliseconds; `found` is called when there is any."""

    def __init__(
        self, jobs: Jobs, now_ms: Callable[[], int], found: Callable[[], None] = lambda: None
    ) -> None:
        self._jobs = jobs
        self._now_ms = now_ms
        self._found = found
        self._census = Census({}, None)

    async def once(self) -> None:
        """Look it up. Raises RecordsAway."""
        self._census = await self._jobs.census()
        if self._census.states:
            self._found()

    def reads(self) -> Mapping[MetricDefinition, Read]:
        """Return what the metrics are to be told."""
        return {
            metric_catalog.JOBS: self._by_state,
            metric_catalog.OLDEST_JOB: lambda: [(self._oldest_s(), {})],
        }

    def _by_state(self) -> Iterator[tuple[float, Attributes]]:
        states = self._census.states
        for state in dict.fromkeys((*_STATES, *states)):
            yield states.get(state, 0), {names.PENSTOCK_STATE: state}

    def _oldest_s(self) -> float:
        oldest_ms = self._census.oldest_ms
        return 0.0 if oldest_ms is None else max(0, self._now_ms() - oldest_ms) / 1000

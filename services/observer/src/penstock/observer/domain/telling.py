"""What processes tell of themselves by their metrics, as the pipeline's view needs it."""

from collections.abc import Iterable

from penstock.observer.domain.pipeline import Backend, Slots
from penstock.observer.domain.points import Last, LastPoints
from penstock.telemetry import metric_catalog, names, stage_metric_catalog

_SERVER = (names.SERVER_ADDRESS, names.SERVER_PORT)


class Telling:
    """Asks the last points. Everything is None while no process tells it."""

    def __init__(self, points: LastPoints) -> None:
        self._points = points

    def processes(self, service: str) -> int:
        """Return how many processes of a service tell something."""
        return len(self._points.sources(service))

    def ready(self, service: str) -> bool | None:
        """Return whether all processes of a service are ready."""
        told = self._points.of(metric_catalog.READY.name, service)
        return all(last.point.value == 1 for last in told) if told else None

    def waiting(self, group: str) -> int | None:
        """Return how many records wait that nobody has taken up."""
        return _total(self._of_group(stage_metric_catalog.LAG.name, group))

    def lag_tokens(self, group: str) -> int | None:
        """Return how many tokens what waits will take."""
        return _total(self._of_group(stage_metric_catalog.LAG_TOKENS.name, group))

    def retries_per_s(self, group: str) -> float | None:
        """Return how many attempts a second are repeated."""
        rates = [last.per_second for last in self._of_group(stage_metric_catalog.RETRIES.name, group)]
        return sum(rate for rate in rates if rate is not None) if rates else None

    def jobs(self) -> dict[str, int] | None:
        """Return how many documents are in which state."""
        told = self._points.of(metric_catalog.JOBS.name)
        if not told:
            return None
        return {
            str(last.point.attributes.get(names.PENSTOCK_STATE, "")): int(last.point.value) for last in told
        }

    def slots(self) -> Slots | None:
        """Return the places of all backends together."""
        backends = self.backends()
        return Slots(sum(b.used for b in backends), sum(b.free for b in backends)) if backends else None

    def backends(self) -> list[Backend]:
        """Return the backends by their names.

        Each replica of generation tells what it uses of a backend itself, and counts the rest as free.
        """
        up: dict[str, bool] = {}
        for last in self._points.of(metric_catalog.BACKEND_UP.name):
            name = _server(last)
            up[name] = up.get(name, False) or last.point.value == 1
        used, whole = self._places()
        queued = self._queued() if len(up) == 1 else None
        return [
            Backend(
                name, used.get(name, 0), max(0, whole.get(name, 0) - used.get(name, 0)), queued, available
            )
            for name, available in sorted(up.items())
        ]

    def _places(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return what is used of each backend by all, and how much there is."""
        used: dict[str, int] = {}
        seen: dict[tuple[str, object], int] = {}
        for last in self._points.of(metric_catalog.SLOTS.name):
            name, value = _server(last), int(last.point.value)
            if last.point.attributes.get(names.PENSTOCK_STATE) == "used":
                used[name] = used.get(name, 0) + value
            seen[name, last.point.source] = seen.get((name, last.point.source), 0) + value
        whole: dict[str, int] = {}
        for (name, _), value in seen.items():
            whole[name] = max(whole.get(name, 0), value)
        return used, whole

    def _queued(self) -> int | None:
        """Return what waits within the only backend, if that is our own engine."""
        told = self._points.of(metric_catalog.ENGINE_QUEUE.name)
        return int(told[0].point.value) if len(told) == 1 else None

    def _of_group(self, name: str, group: str) -> list[Last]:
        return [
            last
            for last in self._points.of(name)
            if last.point.attributes.get(names.MESSAGING_GROUP) == group
        ]


def _total(told: Iterable[Last]) -> int | None:
    values = [last.point.value for last in told]
    return int(sum(values)) if values else None


def _server(last: Last) -> str:
    return ":".join(str(last.point.attributes[name]) for name in _SERVER if name in last.point.attributes)

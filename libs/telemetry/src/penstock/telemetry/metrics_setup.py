"""Set up the metrics of one process: kept once, shown on `/metrics`, and sent wherever OTLP is wanted."""

from collections.abc import Callable
from typing import Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource

from penstock.telemetry.exporting import AtExit, Watched
from penstock.telemetry.exposition import REGISTRY, Exposition
from penstock.telemetry.instruments import observe_all
from penstock.telemetry.news import NewsReader
from penstock.telemetry.process import watch_process

OBSERVER_TIMEOUT_S = 1.0


def set_up_metrics(resource: Resource, at_exit: AtExit, observer: str | None, endpoint: str | None) -> None:
    """Keep metrics from now on. `observer` is its base URL, `endpoint` what OpenTelemetry's settings name.

    To the observer they go when there is news, to the endpoint at OpenTelemetry's interval.
    """
    shown = Exposition()
    readers: list[MetricReader] = [shown.reader]
    if observer:
        url = f"{observer.rstrip('/')}/v1/metrics"
        to_observer = _Watched(url, lambda: _observer_exporter(url))
        readers.append(NewsReader(to_observer, lambda: to_observer.failed))
    if endpoint:
        # Made now, unlike others: its settings say how the reader is to count.
        readers.append(PeriodicExportingMetricReader(_exporter()))
    provider = MeterProvider(readers, resource, shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    observe_all(provider)
    watch_process()
    REGISTRY.register(shown)
    for reader in readers[1:]:
        at_exit.add(reader.shutdown)


class _Watched(MetricExporter):
    """An exporter of metrics to a place that may be away."""

    def __init__(self, place: str, make: Callable[[], Any]) -> None:
        super().__init__()
        self._watched = Watched(place, make)
        self.failed = False
        """Whether the last export did."""

    def export(self, metrics_data: MetricsData, *_: Any, **__: Any) -> MetricExportResult:
        """Export, or drop what goes to a place that has failed a moment ago: the next has it, too."""
        self.failed = self._watched.export(metrics_data).name != "SUCCESS"
        return MetricExportResult.FAILURE if self.failed else MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002  # the interface's
        """Nothing is kept here."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:  # noqa: ARG002  # the interface's
        """Let go of the connection."""
        self._watched.shutdown()


# Imported late, since that takes a quarter of a second.


def _observer_exporter(url: str) -> Any:
    import requests
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    session = requests.Session()
    session.trust_env = False  # it is near: a proxy has no place between
    return OTLPMetricExporter(url, timeout=OBSERVER_TIMEOUT_S, session=session)


def _exporter() -> Any:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter()

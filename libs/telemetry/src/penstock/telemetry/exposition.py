"""`/metrics`: what OpenTelemetry's SDK has collected, as OpenMetrics or in Prometheus's text format.

The SDK's own exporter for Prometheus leaves exemplars out (0.66b2); this one has them: of each bucket of a
histogram the last measurement that was made within a sampled trace.
"""

import threading
from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricReader,
    MetricsData,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as Collected
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import format_span_id, format_trace_id
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from penstock.telemetry.metric_definition import prometheus_label, prometheus_name, prometheus_unit

_NANO = 1e-9
Labels = dict[str, str]

REGISTRY = CollectorRegistry()
"""Of this process: what its `/metrics` shows."""


OPENMETRICS = openmetrics.CONTENT_TYPE_LATEST
TEXT = CONTENT_TYPE_PLAIN_0_0_4


def content_type(accept: str) -> str:
    """Return in which of the two formats to answer a request with this header `accept`."""
    return OPENMETRICS if "application/openmetrics-text" in accept else TEXT


def render(form: str, *more: Collector) -> bytes:
    """Return the body of `/metrics` in the format of this content type.

    `more` are collectors besides this process's own. It may wait for locks of the SDK: not for an event loop.
    """
    encode = openmetrics.generate_latest if form == OPENMETRICS else generate_latest
    return encode(_Together((REGISTRY, *more)))


class _Together(Collector):
    def __init__(self, collectors: tuple[Collector, ...]) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[Metric]:
        for collector in self._collectors:
            yield from collector.collect()


class _Reader(MetricReader):
    """Keeps what the SDK has collected last."""

    def __init__(self) -> None:
        super().__init__()
        self.collected: MetricsData | None = None

    def _receive_metrics(self, metrics_data: MetricsData, *_: Any, **__: Any) -> None:
        self.collected = metrics_data

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Nothing is open here."""


class Exposition(Collector):
    """Collects from the SDK, by its `reader`, whenever somebody reads `/metrics`."""

    def __init__(self) -> None:
        self.reader = _Reader()
        self._lock = threading.Lock()
        self._exemplars: dict[tuple[str, tuple[tuple[str, str], ...], int], Exemplar] = {}

    def collect(self) -> Iterator[Metric]:
        """Return all families, for prometheus_client's encoders."""
        with self._lock:
            self.reader.collected = None
            self.reader.collect()
            return iter(list(self._families(self.reader.collected)))

    def _families(self, collected: MetricsData | None) -> Iterator[Metric]:
        for of_resource in collected.resource_metrics if collected else ():
            yield _target(of_resource.resource)
            for of_scope in of_resource.scope_metrics:
                for metric in of_scope.metrics:
                    yield self._family(metric)

    def _family(self, collected: Collected) -> Metric:
        name = prometheus_name(collected.name, collected.unit or "")
        unit = prometheus_unit(collected.unit or "")
        data = collected.data
        if isinstance(data, Histogram):
            family = Metric(name, collected.description or "", "histogram", unit)
            for point in data.data_points:
                self._add_histogram(family, point)
            return family
        assert isinstance(data, Sum | Gauge)  # noqa: S101  # no other aggregation is set up
        is_counter = isinstance(data, Sum) and data.is_monotonic
        family = Metric(name, collected.description or "", "counter" if is_counter else "gauge", unit)
        for number in data.data_points:
            assert isinstance(number, NumberDataPoint)  # noqa: S101  # as above
            family.add_sample(f"{name}_total" if is_counter else name, _labels(number), number.value)
        return family

    def _add_histogram(self, family: Metric, point: HistogramDataPoint) -> None:
        labels = _labels(point)
        key = tuple(sorted(labels.items()))
        bounds = (*point.explicit_bounds, float("inf"))
        for exemplar in point.exemplars:
            if exemplar.trace_id:
                at = next(index for index, bound in enumerate(bounds) if exemplar.value <= bound)
                # The SDK tells each one once; another who reads `/metrics` shall see it, too.
                self._exemplars[family.name, key, at] = _exemplar(exemplar)
        total = 0
        for index, (bound, count) in enumerate(zip(bounds, point.bucket_counts, strict=True)):
            total += count
            family.add_sample(
                f"{family.name}_bucket",
                labels | {"le": _bound(bound)},
                total,
                exemplar=self._exemplars.get((family.name, key, index)),
            )
        family.add_sample(f"{family.name}_count", labels, point.count)
        family.add_sample(f"{family.name}_sum", labels, point.sum)


def _labels(point: NumberDataPoint | HistogramDataPoint) -> Labels:
    return {prometheus_label(name): str(value) for name, value in (point.attributes or {}).items()}


def _exemplar(exemplar: Any) -> Exemplar:
    labels = {
        "trace_id": format_trace_id(exemplar.trace_id),
        "span_id": format_span_id(exemplar.span_id),
    }
    return Exemplar(labels, exemplar.value, exemplar.time_unix_nano * _NANO)


def _target(resource: Resource) -> Metric:
    """Return what the process is, with its version: OpenTelemetry's `target_info`."""
    about = {prometheus_label(name): str(value) for name, value in resource.attributes.items()}
    return InfoMetricFamily("target", "What this process is: its service, instance and version.", about)


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(float(bound))

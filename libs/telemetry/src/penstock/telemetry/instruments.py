"""Recording: instruments of OpenTelemetry for the metrics of `penstock.telemetry.metric_catalog`.

What happens now and then is recorded when it happens (`histogram`). What happens all the time, or simply is,
stays a number in whatever object knows it; that number is looked up when somebody collects (`watch`): the way
of a record pays an addition at most. Without `set_up_metrics` nothing is kept and nothing is looked up.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Histogram, Observation

from penstock.telemetry.metric_catalog import METRICS, OF_PROCESS, READY
from penstock.telemetry.metric_definition import Kind, MetricDefinition
from penstock.telemetry.readiness import Readiness

SCOPE = "penstock"
Attributes = Mapping[str, str | int]
Read = Callable[[], Iterable[tuple[float, Attributes]]]
"""Returns the values of now, each with its attributes. It is called in another thread."""

_reads: dict[MetricDefinition, list[Read]] = {metric: [] for metric in METRICS}
"""Of this process, as OpenTelemetry's providers are."""


def histogram(metric: MetricDefinition) -> Histogram:
    """Return the instrument of a histogram; the same one for the same metric."""
    return _histogram(metrics.get_meter_provider(), metric)


@lru_cache  # OpenTelemetry looks it up each time: half of what recording a value costs
def _histogram(provider: metrics.MeterProvider, metric: MetricDefinition) -> Histogram:
    return provider.get_meter(SCOPE).create_histogram(
        metric.name,
        metric.unit,
        metric.description,
        explicit_bucket_boundaries_advisory=metric.boundaries,
    )


def watch(metric: MetricDefinition, read: Read) -> None:
    """Have a counter or gauge looked up from now on, until the process ends."""
    _reads[metric].append(read)


@contextmanager
def watched(reads: Mapping[MetricDefinition, Read]) -> Iterator[None]:
    """Have counters and gauges looked up while the block runs."""
    for metric, read in reads.items():
        _reads[metric].append(read)
    try:
        yield
    finally:
        for metric, read in reads.items():
            _reads[metric].remove(read)


def watch_readiness(readiness: Readiness) -> None:
    """Tell whether the process is ready."""
    watch(READY, lambda: [(int(readiness.is_ready), {})])


def looked_up() -> object:
    """Return all that is looked up, to compare it with another time's, but for what never stands still."""
    return [
        (metric, [_values(read) for read in tuple(reads)])
        for metric, reads in _reads.items()
        if reads and metric not in OF_PROCESS
    ]


def _values(read: Read) -> object:
    try:
        return [(value, dict(attributes)) for value, attributes in read()]
    except Exception:  # noqa: BLE001  # whoever collects is told of it
        return object()  # equal to nothing else


def observe_all(provider: metrics.MeterProvider) -> None:
    """Make the instruments of everything that is looked up."""
    meter = provider.get_meter(SCOPE)
    make = {Kind.COUNTER: meter.create_observable_counter, Kind.GAUGE: meter.create_observable_gauge}
    for metric in METRICS:
        if metric.kind is not Kind.HISTOGRAM:
            make[metric.kind](metric.name, [_callback(metric)], metric.unit, metric.description)


def _callback(metric: MetricDefinition) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observations(_options: CallbackOptions) -> Iterable[Observation]:
        # Two of a kind in one process, such as two producers, are one to the outside.
        sums: dict[frozenset[tuple[str, str | int]], float] = {}
        for read in tuple(_reads[metric]):
            for value, attributes in read():
                key = frozenset(attributes.items())
                sums[key] = sums.get(key, 0) + value
        return [Observation(value, dict(key)) for key, value in sums.items()]

    return observations

"""TgiMetrics under TGI's names, for who knows a TGI server, and under OpenTelemetry's, as everywhere here."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.inference.domain.errors import InferenceError
from penstock.inference.domain.generation import Finish
from penstock.telemetry import metric_catalog, names
from penstock.telemetry.instruments import Read, histogram
from penstock.telemetry.metric_definition import MetricDefinition

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_TOKENS = (1, 8, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)


class TgiMetrics(Collector):
    """TGI's counters, gauges and histograms, and OpenTelemetry's beside them, of one model.

    TGI's counters have no `_total`, which prometheus_client would add: they are exposed as untyped samples.
    """

    def __init__(self, model: str, queue_size: Callable[[], int], batch_size: Callable[[], int]) -> None:
        self._about = {
            names.GEN_AI_OPERATION: "text_completion",  # also of a chat: its template is applied before
            names.GEN_AI_PROVIDER: "openvino",
            names.GEN_AI_REQUEST_MODEL: model,
        }
        self._server_duration = histogram(metric_catalog.SERVER_DURATION)
        self._first = histogram(metric_catalog.TIME_TO_FIRST_TOKEN)
        self._per_output_token = histogram(metric_catalog.TIME_PER_OUTPUT_TOKEN)
        self._gauges = {"tgi_queue_size": queue_size, "tgi_batch_current_size": batch_size}
        self._count = 0
        self._success = 0
        self._failures: dict[str, int] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)
        seconds = {"buckets": _SECONDS, "registry": self.registry}
        tokens = {"buckets": _TOKENS, "registry": self.registry}
        self._duration = _histogram("duration", "Seconds from arrival to the end", seconds)
        self._queued = _histogram("queue_duration", "Seconds before the request joined the batch", seconds)
        self._inference = _histogram("inference_duration", "Seconds in the batch", seconds)
        self._per_token = _histogram("mean_time_per_token_duration", "Seconds a token", seconds)
        self._generated = _histogram("generated_tokens", "Tokens generated", tokens)
        self._input = _histogram("input_length", "Tokens of the prompt", tokens)

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges and counters."""
        for name, read in self._gauges.items():
            yield GaugeMetricFamily(name, "Now", value=read())
        yield _counter("tgi_request_count", {(): self._count})
        yield _counter("tgi_request_success", {(): self._success})
        yield _counter("tgi_request_failure", {(("err", kind),): n for kind, n in self._failures.items()})

    def reads(self) -> Mapping[MetricDefinition, Read]:
        """Return what is to be looked up while the engine runs, under our names."""
        return {
            metric_catalog.ENGINE_QUEUE: lambda: [(self._gauges["tgi_queue_size"](), {})],
            metric_catalog.ENGINE_BATCH: lambda: [(self._gauges["tgi_batch_current_size"](), {})],
        }

    def arrived(self) -> None:
        """Count a request."""
        self._count += 1

    def finished(self, finish: Finish) -> None:
        """Count a complete answer."""
        self._success += 1
        self._duration.observe(finish.queued_s + finish.inference_s)
        self._queued.observe(finish.queued_s)
        self._inference.observe(finish.inference_s)
        self._per_token.observe(finish.inference_s / max(1, finish.generated_tokens))
        self._generated.observe(finish.generated_tokens)
        self._input.observe(finish.input_length)
        self._server_duration.record(finish.queued_s + finish.inference_s, self._about)
        self._first.record(finish.queued_s + finish.prefill_s, self._about)
        if finish.generated_tokens > 1:
            rest = (finish.inference_s - finish.prefill_s) / (finish.generated_tokens - 1)
            self._per_output_token.record(rest, self._about)

    def failed(self, error: InferenceError) -> None:
        """Count a request that ended in an error."""
        self._failures[error.error_type] = self._failures.get(error.error_type, 0) + 1


def _histogram(name: str, text: str, more: dict[str, object]) -> Histogram:
    return Histogram(f"tgi_request_{name}", text, **more)  # type: ignore[arg-type]  # the two above only


def _counter(name: str, values: dict[tuple[tuple[str, str], ...], int]) -> Metric:
    metric = Metric(name, "Requests", "unknown")
    for labels, value in values.items():
        metric.add_sample(name, dict(labels), value)
    return metric

"""What the engine's metrics say of an answer, under both names."""

from collections.abc import Callable

from opentelemetry.sdk.metrics.export import DataPointT, HistogramDataPoint, NumberDataPoint

from penstock.inference.adapters.http.tgi_metrics import TgiMetrics
from penstock.inference.domain.generation import Finish, FinishReason
from penstock.telemetry import metric_catalog
from penstock.telemetry.instruments import watched
from penstock.telemetry.metric_definition import MetricDefinition

Measured = Callable[[MetricDefinition], list[DataPointT]]


def finish(tokens: int) -> Finish:
    return Finish(
        reason=FinishReason.LENGTH,
        text="",
        generated_tokens=tokens,
        input_length=7,
        seed=None,
        queued_s=1.0,
        inference_s=3.0,
        prefill_s=0.5,
    )


def one(measured: Measured, metric: MetricDefinition) -> HistogramDataPoint:
    [point] = measured(metric)
    assert isinstance(point, HistogramDataPoint)
    assert set(point.attributes or {}) <= set(metric.attributes)
    return point


def test_an_answer_is_measured_from_its_arrival(measured: Measured) -> None:
    told = TgiMetrics("tiny", lambda: 2, lambda: 4)
    told.finished(finish(tokens=6))
    assert one(measured, metric_catalog.SERVER_DURATION).sum == 4.0
    assert one(measured, metric_catalog.TIME_TO_FIRST_TOKEN).sum == 1.5
    assert one(measured, metric_catalog.TIME_PER_OUTPUT_TOKEN).sum == 0.5
    assert (one(measured, metric_catalog.SERVER_DURATION).attributes or {})["gen_ai.request.model"] == "tiny"
    [tgi] = [f for f in told.registry.collect() if f.name == "tgi_request_duration"]
    assert [s.value for s in tgi.samples if s.name.endswith("_sum")] == [4.0]


def test_one_token_has_no_time_per_later_token(measured: Measured) -> None:
    TgiMetrics("tiny", lambda: 0, lambda: 0).finished(finish(tokens=1))
    assert measured(metric_catalog.TIME_PER_OUTPUT_TOKEN) == []


def test_batch_and_queue_are_told_under_our_names_too(measured: Measured) -> None:
    with watched(TgiMetrics("tiny", lambda: 2, lambda: 4).reads()):
        [queue], [batch] = measured(metric_catalog.ENGINE_QUEUE), measured(metric_catalog.ENGINE_BATCH)
    assert isinstance(queue, NumberDataPoint)
    assert isinstance(batch, NumberDataPoint)
    assert (queue.value, batch.value) == (2, 4)

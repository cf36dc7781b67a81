"""What the engine's metrics say of an answer, under both names."""

from collections.abc import Callable

from opentelemetry.sdk.metrics.export import DataPointT, HistogramDataPoint, NumberDataPoint

from penstock.inference.adapters.http.metrics import Metrics
from penstock.inference.domain.generation import Finish, FinishReason
from penstock.telemetry import metrics
from penstock.telemetry.meters import watched
from penstock.telemetry.metric import Metric

Measured = Callable[[Metric], list[DataPointT]]


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


def one(measured: Measured, metric: Metric) -> HistogramDataPoint:
    [point] = measured(metric)
    assert isinstance(point, HistogramDataPoint)
    assert set(point.attributes or {}) <= set(metric.attributes)
    return point


def test_an_answer_is_measured_from_its_arrival(measured: Measured) -> None:
    told = Metrics("tiny", lambda: 2, lambda: 4)
    told.finished(finish(tokens=6))
    assert one(measured, metrics.SERVER_DURATION).sum == 4.0
    assert one(measured, metrics.TIME_TO_FIRST_TOKEN).sum == 1.5
    assert one(measured, metrics.TIME_PER_OUTPUT_TOKEN).sum == 0.5
    assert (one(measured, metrics.SERVER_DURATION).attributes or {})["gen_ai.request.model"] == "tiny"
    [tgi] = [f for f in told.registry.collect() if f.name == "tgi_request_duration"]
    assert [s.value for s in tgi.samples if s.name.endswith("_sum")] == [4.0]


def test_one_token_has_no_time_per_later_token(measured: Measured) -> None:
    Metrics("tiny", lambda: 0, lambda: 0).finished(finish(tokens=1))
    assert measured(metrics.TIME_PER_OUTPUT_TOKEN) == []


def test_batch_and_queue_are_told_under_our_names_too(measured: Measured) -> None:
    with watched(Metrics("tiny", lambda: 2, lambda: 4).reads()):
        [queue], [batch] = measured(metrics.ENGINE_QUEUE), measured(metrics.ENGINE_BATCH)
    assert isinstance(queue, NumberDataPoint)
    assert isinstance(batch, NumberDataPoint)
    assert (queue.value, batch.value) == (2, 4)

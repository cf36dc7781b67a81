"""The gateway's metrics, read where Prometheus reads them."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.metrics import _internal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from penstock.messages.chat import AnswerStarted, AnswerText, RequestFailed
from penstock.telemetry import instruments
from penstock.telemetry.exposition import REGISTRY, Exposition

TRACE = "0af7651916cd43dd8448eb211c80319c"
OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}


@pytest.fixture(autouse=True)
def exposition(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Metrics and traces of the process for one test."""
    shown = Exposition()
    provider = MeterProvider([shown.reader])
    # OpenTelemetry lets nobody set them twice.
    monkeypatch.setattr(_internal, "_METER_PROVIDER", provider)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider())
    instruments.observe_all(provider)
    REGISTRY.register(shown)
    yield
    REGISTRY.unregister(shown)


async def families(stand: Any) -> dict[str, Metric]:
    """Return what `/metrics` says, without a key."""
    await asyncio.sleep(0.6)  # it is made anew twice a second
    answer = await stand.client.get(f"{stand.url}/metrics", headers=OPENMETRICS)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}  # type: ignore[no-untyped-call]


async def samples(stand: Any, name: str, **labels: str) -> list[Sample]:
    """Return the samples of this name with these labels (an empty text: without the label)."""
    found = (await families(stand)).values()
    return [
        sample
        for family in found
        for sample in family.samples
        if sample.name == name and all(sample.labels.get(k, "") == v for k, v in labels.items())
    ]


async def value(stand: Any, name: str, **labels: str) -> float:
    [sample] = await samples(stand, name, **labels)
    return sample.value


async def test_an_answer_is_measured_as_its_client_sees_it(stand: Any, kit: Any) -> None:
    answering = asyncio.create_task(stand.answer("A pipe", " that feeds", " turbines."))
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    streamed = await stand.ask(kit.body(stream=True), headers=headers)
    assert "turbines" in streamed.text
    await answering
    about = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "penstock",
        "gen_ai_request_model": kit.model,
        "error_type": "",
    }
    for name in ("request_duration", "time_to_first_token", "time_per_output_token"):
        assert await value(stand, f"gen_ai_server_{name}_seconds_count", **about) == 1
    buckets = await samples(stand, "gen_ai_server_time_to_first_token_seconds_bucket")
    linked = [sample.exemplar.labels["trace_id"] for sample in buckets if sample.exemplar]
    assert linked == [TRACE]


async def test_one_in_a_single_piece_has_no_first_token(stand: Any, kit: Any) -> None:
    answering = asyncio.create_task(stand.answer("A pipe."))
    await stand.ask(kit.body())
    await answering
    assert await value(stand, "gen_ai_server_request_duration_seconds_count") == 1
    assert await samples(stand, "gen_ai_server_time_to_first_token_seconds_count") == []


async def test_a_failed_answer_is_counted_by_its_code(stand: Any, kit: Any) -> None:
    asking = asyncio.create_task(stand.ask(kit.body(stream=True)))
    cause = (await stand.question()).envelope
    failed = RequestFailed(code="backend_refused", message="No.", status=400, stage="generation")
    await stand.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text="A"), failed)
    await asking
    assert (
        await value(stand, "gen_ai_server_request_duration_seconds_count", error_type="backend_refused") == 1
    )


async def test_refused_requests_are_counted_by_their_code_and_route(stand: Any, kit: Any) -> None:
    url = f"{stand.url}/v1/chat/completions"
    await stand.client.post(url, json=kit.body())
    await stand.ask(b"{")
    await stand.ask(kit.body(model="another"))
    await stand.client.get(f"{stand.url}/nowhere/{'x' * 40}")
    counted = await samples(stand, "http_server_request_duration_seconds_count")
    told = {
        (
            s.labels["http_request_method"],
            s.labels.get("http_route", ""),
            s.labels["http_response_status_code"],
        ): s.labels["error_type"]
        for s in counted
        if "error_type" in s.labels
    }
    assert told["POST", "", "401"] == "invalid_api_key"
    assert told["POST", "/v1/chat/completions", "400"]
    assert told["POST", "/v1/chat/completions", "404"] == "model_not_found"
    assert told["GET", "", "404"] == "unknown_url"
    assert "nowhere" not in str(counted)


async def test_open_requests_and_streams_are_told_while_they_are_open(stand: Any, kit: Any) -> None:
    asking = asyncio.create_task(stand.ask(kit.body(stream=True)))
    cause = (await stand.question()).envelope
    await stand.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text="A"))
    async with asyncio.timeout(30):
        while await value(stand, "penstock_gateway_streams") != 1:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.05)
    assert await value(stand, "penstock_gateway_requests_open") == 1
    assert await value(stand, "penstock_gateway_requests_limit") == 1024
    assert await value(stand, "http_server_active_requests", http_request_method="POST") == 1
    await stand.say(cause, kit.completed(1))
    await asking
    assert await value(stand, "penstock_gateway_streams") == 0
    assert await value(stand, "penstock_gateway_requests_open") == 0


async def test_nothing_of_a_request_or_its_tenant_is_in_a_label(stand: Any, kit: Any) -> None:
    answering = asyncio.create_task(stand.answer("A pipe."))
    await stand.ask(kit.body(stream=True))
    cause = await answering
    text = (await stand.client.get(f"{stand.url}/metrics")).text  # no exemplars in this format
    for secret in (cause.subject, cause.tenant, stand.key, stand.key[:10]):
        assert secret not in text
    assert "penstock_gateway_streams 0.0" in text

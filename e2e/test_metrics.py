"""`/metrics` of every process of the real stack, after real questions."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
import yaml
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as parse_text

from e2e.stack import ROOT, Stack
from infra.grafana.source import DASHBOARDS
from infra.promql import metrics_in
from penstock.devstack.state import ServiceStatus
from penstock.messages.search import DEFAULT_STORE
from penstock.telemetry.metric_catalog import METRICS, exported_by

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PORTS = {
    "gateway": "PENSTOCK_GATEWAY_PORT",
    "inference": "PENSTOCK_INFERENCE_PORT",
    "observer": "PENSTOCK_OBSERVER_PORT",
}
FOREIGN = ("target", "tgi_")
"""Families that are not ours: what OpenTelemetry adds, and TGI's dialect."""
Families = dict[str, dict[str, Metric]]


def url_of(service: ServiceStatus) -> str:
    port = psutil.Process(service.pid).environ()[PORTS.get(service.name, "PENSTOCK_HEALTH_PORT")]
    return f"http://127.0.0.1:{port}/metrics"


def processes(stack: Stack) -> list[ServiceStatus]:
    return [service for service in stack.status.services if service.name != "kafka"]


@pytest.fixture(scope="module")
def asked(indexed: Stack) -> tuple[Stack, str]:
    """The stack after a streamed answer in a trace of ours, a search and a refusal; and the request's id."""
    headers = {"authorization": f"Bearer {indexed.key}", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    question = [{"role": "user", "content": "What is a penstock?"}]
    chat = f"{indexed.status.gateway}/v1/chat/completions"
    body = {"model": indexed.model, "messages": question, "max_tokens": 16, "stream": True}
    answer = httpx2.post(chat, json=body, headers=headers, timeout=120, trust_env=False)
    assert answer.status_code == 200
    assert indexed.openai().vector_stores.search(DEFAULT_STORE, query="penstock").data
    refused = httpx2.post(
        chat, json={**body, "model": "no such"}, headers=headers, timeout=60, trust_env=False
    )
    assert refused.status_code == 404
    return indexed, answer.headers["x-request-id"]


@pytest.fixture(scope="module")
def families(asked: tuple[Stack, str]) -> Families:
    """What each process says, by its service and the family's name."""
    stack, _ = asked
    found: Families = {}
    for service in processes(stack):
        accept = {"accept": "application/openmetrics-text"}
        response = httpx2.get(url_of(service), headers=accept, timeout=60, trust_env=False)
        assert response.headers["content-type"].startswith("application/openmetrics-text")
        parsed = text_string_to_metric_families(response.text)  # type: ignore[no-untyped-call]
        found[service.name] = {family.name: family for family in parsed}
    return found


def test_every_process_tells_what_it_promises_and_nothing_undeclared(families: Families) -> None:
    assert len(families) == 9
    declared = {metric.prometheus: metric for metric in METRICS}
    for service, told in families.items():
        promised = {metric.prometheus for metric in exported_by(service)}
        assert promised - told.keys() == set(), service
        for name, family in told.items():
            if name.startswith(FOREIGN):
                continue
            labels = {label for sample in family.samples for label in sample.labels}
            assert labels <= {*declared[name].labels, "le"}, (service, name)


def test_ages_counts_and_states_make_sense(families: Families) -> None:
    for service, told in families.items():
        [ready] = told["penstock_process_ready"].samples
        assert ready.value == 1, service
        assert told["process_memory_usage_bytes"].samples[0].value > 1 << 20
        [target] = told["target"].samples
        assert target.labels["service_name"] == f"penstock-{service}"
        assert target.labels["service_version"]
    [chunks] = families["retrieval"]["penstock_index_chunks"].samples
    assert chunks.value >= 38
    slots = {
        s.labels["penstock_state"]: s.value for s in families["generation"]["penstock_backend_slots"].samples
    }
    assert slots["free"] > 0
    partitions = families["generation"]["penstock_journal_epoch"].samples
    assert len(partitions) == 8
    assert all(sample.value >= 1 for sample in partitions)


def exemplars(families: Families, service: str, name: str) -> Iterator[str]:
    for sample in families[service][name].samples:
        if sample.exemplar is not None:
            yield sample.exemplar.labels["trace_id"]


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("gateway", "gen_ai_server_time_to_first_token_seconds"),
        ("gateway", "http_server_request_duration_seconds"),
        ("tokenization", "messaging_process_duration_seconds"),
        ("retrieval", "messaging_process_duration_seconds"),
        ("generation", "messaging_process_duration_seconds"),
        ("generation", "gen_ai_client_operation_duration_seconds"),
        ("postprocessing", "messaging_process_duration_seconds"),
        ("inference", "gen_ai_server_time_to_first_token_seconds"),
    ],
)
def test_an_exemplar_leads_to_the_requests_trace(families: Families, service: str, name: str) -> None:
    assert TRACE in set(exemplars(families, service, name))


def test_no_label_holds_a_request_a_tenant_a_file_or_a_key(
    asked: tuple[Stack, str], families: Families
) -> None:
    stack, request_id = asked
    files = [file.id for file in stack.openai().files.list().data]
    secrets = {request_id, "default", stack.key, *files}
    for told in families.values():
        for family in told.values():
            for sample in family.samples:
                values = set(sample.labels.values())
                assert not values & secrets
                assert not any(stack.key[:12] in value or request_id in value for value in values)


def test_the_older_text_format_can_be_read_too(asked: tuple[Stack, str]) -> None:
    stack, _ = asked
    for service in processes(stack):
        response = httpx2.get(url_of(service), timeout=60, trust_env=False)
        assert response.headers["content-type"] == CONTENT_TYPE_PLAIN_0_0_4
        assert "penstock_process_ready" in {family.name for family in parse_text(response.text)}


def test_every_series_of_every_alert_and_dashboard_is_told_by_some_process(families: Families) -> None:
    told = {sample.name for service in families.values() for f in service.values() for sample in f.samples}
    rules = yaml.safe_load((Path(ROOT) / "infra" / "prometheus" / "rules.yaml").read_text())
    expressions = [str(rule["expr"]) for group in rules["groups"] for rule in group["rules"]]
    expressions += [query.expression for board in DASHBOARDS for query in board.queries]
    named = {name for expression in expressions for name in metrics_in(expression)}
    assert len(named) > 30
    assert {name for name in named if not re.match("penstock:", name)} - told == set()

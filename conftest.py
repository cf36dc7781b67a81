"""Fixtures that every member's tests may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libs.database.tests import containers
from libs.database.tests.servers import IN_CONTAINERS, POSTGRES, new_database, running_postgres

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import DataPointT
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from penstock.telemetry.metric_definition import MetricDefinition


def pytest_configure() -> None:
    """Brokers of tests live for a minute, in which the slower of Java's two compilers only costs time."""
    os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")


def pytest_report_header() -> list[str]:
    """Say in which containers `make test-containers` runs; without an engine there is nothing to run."""
    if not IN_CONTAINERS:
        return []
    if not containers.engine_answers():
        pytest.exit("no Docker engine answers: the tests on containers are left out", returncode=0)
    return containers.told()


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Kafka broker, one for the whole test run: its bootstrap address, ``127.0.0.1:PORT``.

    It starts in about three seconds, creates no topics by itself, and is gone when the run ends, however it
    ends. Tests share it: use topic and group names of your own.
    """
    if IN_CONTAINERS:
        with containers.kafka() as bootstrap:
            yield bootstrap
        return
    from penstock.devstack.kafka import running_broker

    with running_broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server, one for the whole test run: its URL without a database."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["sqlite", *(["postgresql"] if POSTGRES else [])])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, SQLite's, and PostgreSQL's where the machine has it."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/empty.db"
    return new_database(request.getfixturevalue("postgres"))


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """All spans that end during the test, of what is made after this fixture, as `set_up` would have them."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from penstock.telemetry.work_context import WorkContextProcessor

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(WorkContextProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # OpenTelemetry lets nobody set it twice.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[MetricDefinition], list[DataPointT]]:
    """Returns the points of a metric as they are now: of what is made after this fixture, or is looked up."""
    from opentelemetry.metrics import _internal
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from penstock.telemetry.instruments import observe_all

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe_all(provider)
    # OpenTelemetry lets nobody set it twice.
    monkeypatch.setattr(_internal, "_METER_PROVIDER", provider)

    def points(metric: MetricDefinition) -> list[DataPointT]:
        data = reader.get_metrics_data()
        return [
            point
            for of_resource in (data.resource_metrics if data else ())
            for of_scope in of_resource.scope_metrics
            for found in of_scope.metrics
            if found.name == metric.name
            for point in found.data.data_points
        ]

    return points

"""Metrics: their names, what `/metrics` says of them, and where they go."""

import importlib
import pkgutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv import attributes, metrics
from opentelemetry.semconv._incubating import attributes as later_attributes
from opentelemetry.semconv._incubating import metrics as later_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as parse_text

from penstock.telemetry import instruments
from penstock.telemetry.exposition import Exposition
from penstock.telemetry.metric_catalog import METRICS, TIME_TO_FIRST_TOKEN
from penstock.telemetry.metric_definition import Kind, MetricDefinition, prometheus_name
from penstock.telemetry.scrape import Scrape
from penstock.telemetry.stage_metric_catalog import DEAD_LETTERS, LAG

UNBOUNDED = (
    "request.id",
    "tenant",
    "document",
    "message.id",
    "conversation",
    "offset",
    "key",
    "url.path",
    "url.full",
)


def published(*packages: object) -> set[str]:
    """Return all names in these packages of the published conventions."""
    found: set[str] = set()
    for package in packages:
        for module in pkgutil.iter_modules(package.__path__):  # type: ignore[attr-defined]
            loaded = importlib.import_module(f"{package.__name__}.{module.name}")  # type: ignore[attr-defined]
            found |= {value for value in vars(loaded).values() if isinstance(value, str)}
    return found


def test_every_name_is_published_or_ours() -> None:
    known = published(metrics, later_metrics)
    assert "gen_ai.server.request.duration" in known
    assert [m.name for m in METRICS if m.name not in known and not m.name.startswith("penstock.")] == []
    names = {name for metric in METRICS for name in metric.attributes}
    known = published(attributes, later_attributes)
    assert "error.type" in known
    assert [name for name in names if name not in known and not name.startswith("penstock.")] == []


def test_no_attribute_grows_with_use() -> None:
    names = {name for metric in METRICS for name in metric.attributes}
    assert [name for name in names for part in UNBOUNDED if part in name] == []


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_has_a_base_unit_and_a_histogram_its_boundaries(metric: MetricDefinition) -> None:
    assert metric.unit in ("s", "By", "1") or (metric.unit.startswith("{") and metric.unit.endswith("}"))
    assert metric.description.endswith(".")
    assert (metric.kind is Kind.HISTOGRAM) == bool(metric.boundaries)
    assert list(metric.boundaries) == sorted(set(metric.boundaries))


def test_no_two_metrics_are_the_same_to_prometheus() -> None:
    assert len({metric.prometheus for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("gen_ai.server.request.duration", "s", "gen_ai_server_request_duration_seconds"),
        ("penstock.consumer.lag", "{record}", "penstock_consumer_lag"),
        ("process.memory.usage", "By", "process_memory_usage_bytes"),
        ("a.seconds", "s", "a_seconds"),
        ("a.-b", "1", "a_b"),
    ],
)
def test_names_for_prometheus(name: str, unit: str, expected: str) -> None:
    assert prometheus_name(name, unit) == expected


class Measured:
    """A provider of its own, and what it shows."""

    def __init__(self) -> None:
        self.shown = Exposition()
        self.provider = MeterProvider([self.shown.reader], Resource({"service.name": "penstock-test"}))
        instruments.observe_all(self.provider)

    def families(self) -> dict[str, Family]:
        text = generate_openmetrics(self.shown).decode()  # type: ignore[no-untyped-call]
        return {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]

    def sample(self, name: str, **labels: str) -> float:
        family = next(f for f in self.families().values() if name.startswith(f.name))
        return next(s.value for s in family.samples if s.name == name and labels.items() <= s.labels.items())


@pytest.fixture
def measured() -> Iterator[Measured]:
    made = Measured()
    yield made
    made.provider.shutdown()


def first_token(measured: Measured) -> object:
    return measured.provider.get_meter("t").create_histogram(
        TIME_TO_FIRST_TOKEN.name, "s", "d", explicit_bucket_boundaries_advisory=TIME_TO_FIRST_TOKEN.boundaries
    )


def test_a_histogram_links_its_bucket_to_the_trace_also_when_read_again(measured: Measured) -> None:
    histogram = first_token(measured)
    span = TracerProvider().get_tracer("t").start_span("s")
    histogram.record(0.3, {"gen_ai.operation.name": "chat"}, context=trace.set_span_in_context(span))  # type: ignore[attr-defined]
    histogram.record(30.0, {"gen_ai.operation.name": "chat"})  # type: ignore[attr-defined]
    for _ in range(2):
        samples = measured.families()["gen_ai_server_time_to_first_token_seconds"].samples
        linked = [sample for sample in samples if sample.exemplar]
        assert [sample.labels["le"] for sample in linked] == ["0.5"]
        assert linked[0].exemplar is not None
        assert linked[0].exemplar.labels["trace_id"] == f"{span.get_span_context().trace_id:032x}"
        counts = {sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")}
        assert (counts["0.25"], counts["0.5"], counts["10.0"], counts["+Inf"]) == (0, 1, 1, 2)


def test_a_trace_that_is_not_sampled_is_no_exemplar(measured: Measured) -> None:
    span = TracerProvider(sampler=ALWAYS_OFF).get_tracer("t").start_span("s")
    first_token(measured).record(0.3, {}, context=trace.set_span_in_context(span))  # type: ignore[attr-defined]
    [family] = [f for f in measured.families().values() if f.type == "histogram"]
    assert not any(sample.exemplar for sample in family.samples)


def test_what_is_watched_is_looked_up_anew_each_time_and_no_more_afterwards(measured: Measured) -> None:
    lag = [3]
    about = {"messaging.consumer.group.name": "g", "messaging.destination.name": "t"}
    with instruments.watched({LAG: lambda: [(lag[0], about)], DEAD_LETTERS: lambda: [(1, about)]}):
        assert measured.sample("penstock_consumer_lag", messaging_destination_name="t") == 3
        lag[0] = 5
        assert measured.sample("penstock_consumer_lag", messaging_destination_name="t") == 5
        assert measured.sample("penstock_dead_letters_total", messaging_consumer_group_name="g") == 1
    assert "penstock_consumer_lag" not in measured.families()


def test_two_of_a_kind_are_one_to_the_outside(measured: Measured) -> None:
    with (
        instruments.watched({LAG: lambda: [(1, {"a": "x"})]}),
        instruments.watched({LAG: lambda: [(2, {"a": "x"})]}),
    ):
        assert measured.sample("penstock_consumer_lag", a="x") == 3


def test_one_that_fails_to_tell_takes_nothing_else_with_it(measured: Measured) -> None:
    def broken() -> list[tuple[float, dict[str, str]]]:
        raise RuntimeError("no")

    with instruments.watched({LAG: broken, DEAD_LETTERS: lambda: [(1, {})]}):
        families = measured.families()
    assert "penstock_consumer_lag" not in families
    assert "penstock_dead_letters" in families


def test_the_older_text_format_says_the_same(measured: Measured) -> None:
    first_token(measured).record(0.3, {"gen_ai.operation.name": 'c"h\\a\nt'})  # type: ignore[attr-defined]
    with instruments.watched({DEAD_LETTERS: lambda: [(2, {})]}):
        text = generate_latest(measured.shown).decode()
    families = {family.name: family for family in parse_text(text)}
    assert families["penstock_dead_letters"].samples[0].value == 2
    bucket = families["gen_ai_server_time_to_first_token_seconds"].samples[0]
    assert bucket.labels["gen_ai_operation_name"] == 'c"h\\a\nt'


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"", "text/plain; version=0.0.4"),
        (b"*/*", "text/plain; version=0.0.4"),
        (
            b"application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.2",
            "application/openmetrics-text; version=1.0.0",
        ),
        (
            b"application/openmetrics-text; version=\xff\x00..;escaping=zz",
            "application/openmetrics-text; version=1.0.0",
        ),
        (b"\xff,,;;=", "text/plain; version=0.0.4"),
    ],
)
async def test_the_format_is_what_the_client_accepts(accept: bytes, expected: str) -> None:
    status, content_type, body = await scraped(Scrape(), accept)
    assert status == 200
    assert content_type.startswith(expected)
    assert (b"# EOF" in body) == ("openmetrics" in expected)


async def scraped(app: Scrape, accept: bytes) -> tuple[int, str, bytes]:
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {}

    async def send(message: object) -> None:
        sent.append(message)  # type: ignore[arg-type]

    await app({"type": "http", "headers": [(b"accept", accept)]}, receive, send)
    headers = dict(sent[0]["headers"])  # type: ignore[call-overload]
    return sent[0]["status"], headers[b"content-type"].decode(), sent[1]["body"]  # type: ignore[return-value]


async def test_however_often_it_is_asked_it_collects_seldom() -> None:
    class Counting:
        times = 0

        def collect(self) -> Iterator[Family]:
            self.times += 1
            return iter(())

    counting, now = Counting(), [0.0]
    app = Scrape(counting, clock=lambda: now[0])
    for _ in range(50):
        await scraped(app, b"")
    assert counting.times == 1
    now[0] = 1.0
    await scraped(app, b"")
    assert counting.times == 2


PROGRAM = """
import time
from penstock.telemetry import instruments, stage_metric_catalog
from penstock.telemetry.exposition import OPENMETRICS, render
from penstock.telemetry.setup import set_up
set_up("postprocessing")
instruments.watch(stage_metric_catalog.LAG, lambda: [(7, {"messaging.destination.name": "chat.generated"})])
print(render(OPENMETRICS).decode())
"""


def test_the_same_goes_to_the_observer_and_to_a_collector() -> None:
    received: dict[str, list[bytes]] = {}

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.setdefault(self.path, []).append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    env = {
        "PENSTOCK_OBSERVER": f"{url}/observer/",
        "PENSTOCK_INSTANCE": "postprocessing-2",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{url}/collector",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
    }
    try:
        done = subprocess.run(  # noqa: S603  # our own program
            [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=60, check=True
        )
    finally:
        server.shutdown()
        server.server_close()
    for place in ("/observer/v1/metrics", "/collector/v1/metrics"):
        [of_resource] = ExportMetricsServiceRequest.FromString(received[place][-1]).resource_metrics
        resource = {a.key: a.value.string_value for a in of_resource.resource.attributes}
        assert resource["service.name"] == "penstock-postprocessing"
        assert resource["service.instance.id"] == "postprocessing-2"
        points = {
            metric.name: metric.gauge.data_points[0].as_int
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
            if metric.name == LAG.name
        }
        assert points == {"penstock.consumer.lag": 7}
    families = {f.name: f for f in text_string_to_metric_families(done.stdout.rstrip() + "\n")}  # type: ignore[no-untyped-call]
    assert families["target"].samples[0].labels["service_instance_id"] == "postprocessing-2"
    assert families["penstock_consumer_lag"].samples[0].value == 7
    assert {
        "process_cpu_time_seconds",
        "process_memory_usage_bytes",
        "process_uptime_seconds",
    } <= families.keys()


def test_places_that_are_away_are_told_of_once_and_hold_nothing_up() -> None:
    env = {"PENSTOCK_OBSERVER": "http://127.0.0.1:9"}
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", PROGRAM + "time.sleep(7)\n"],
        env=env,
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    told = [line for line in done.stderr.splitlines() if "v1/metrics" in line]
    assert len(told) == 1, done.stderr
    assert "Traceback" not in done.stderr

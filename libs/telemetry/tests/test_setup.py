"""Set-up of a process: real trace ids without an exporter, spans and logs over OTLP with one, JSON logs."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from libs.telemetry.tests.receiver import Receiver
from penstock.telemetry.exporting import EXIT_SECONDS
from penstock.telemetry.readiness import Readiness

PROGRAM = """
import structlog
from opentelemetry import trace
from penstock.telemetry.work_context import WorkContext, set_work_context
from penstock.telemetry.setup import set_up
set_up("postprocessing")
set_work_context(WorkContext(request_id="r1", tenant="acme"))
with trace.get_tracer("t").start_as_current_span("work") as span:
    structlog.get_logger().info("something_happened", pieces=3)
"""
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
OBSERVER = "PENSTOCK_OBSERVER"


def run(program: str = PROGRAM, **env: str) -> list[dict[str, object]]:
    """Run a process to its end, and return what it logged."""
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_log_line_is_one_json_object_that_says_for_whom_and_in_which_span() -> None:
    [logged] = run()
    assert (logged["event"], logged["pieces"], logged["level"]) == ("something_happened", 3, "info")
    assert (logged["service"], logged["request_id"], logged["tenant"]) == ("postprocessing", "r1", "acme")
    assert int(str(logged["trace_id"]), 16) > 0


@pytest.mark.parametrize("setting", [ENDPOINT, OBSERVER])
def test_spans_go_where_a_setting_says(setting: str) -> None:
    with Receiver() as receiver:
        [logged] = run(**{setting: receiver.url, "PENSTOCK_INSTANCE": "postprocessing-2"})
    [span] = receiver.spans
    assert (span.name, span.trace_id) == ("work", logged["trace_id"])
    assert (span.service, span.resource["service.instance.id"]) == (
        "penstock-postprocessing",
        "postprocessing-2",
    )
    assert span.resource["service.version"]
    assert (span.attributes["penstock.request.id"], span.attributes["penstock.tenant"]) == ("r1", "acme")


def test_spans_go_to_both_places_and_logs_to_the_collector() -> None:
    with Receiver() as collector, Receiver() as observer:
        [logged] = run(**{ENDPOINT: collector.url, OBSERVER: observer.url})
    assert [s.span_id for s in collector.spans] == [s.span_id for s in observer.spans] == [logged["span_id"]]
    [record] = collector.logs
    assert (record.body, record.service) == ("something_happened", "penstock-postprocessing")
    assert record.trace_id == logged["trace_id"]
    assert record.attributes["pieces"] == 3
    assert record.attributes["request_id"] == "r1"
    assert observer.logs == []


def test_a_proxy_of_the_environment_is_not_asked_for_the_observer() -> None:
    with Receiver() as observer:
        run(**{OBSERVER: observer.url, "http_proxy": "http://127.0.0.1:1"})
    assert observer.spans


def test_baggage_of_a_client_is_not_passed_on() -> None:
    program = """
from opentelemetry import baggage, propagate
from penstock.telemetry.setup import set_up
set_up("generation")
carrier = {}
propagate.inject(carrier, baggage.set_baggage("card", "4711"))
assert not carrier, carrier
"""
    assert run(program) == []


def test_a_disabled_sdk_exports_nothing() -> None:
    with Receiver() as receiver:
        run(**{ENDPOINT: receiver.url, OBSERVER: receiver.url, "OTEL_SDK_DISABLED": "true"})
    assert receiver.bodies == []


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield "http://{}:{}".format(*server.getsockname())


@pytest.mark.parametrize("setting", [ENDPOINT, OBSERVER])
@pytest.mark.parametrize("place", ["absent", "silent"])
def test_a_place_that_does_not_answer_is_told_of_once_and_holds_nothing_up(
    setting: str, place: str, silent: str
) -> None:
    program = """
import time
import structlog
from opentelemetry import trace
from penstock.telemetry.setup import set_up
set_up("generation")
tracer = trace.get_tracer("t")
for number in range(5_000):
    tracer.start_span("work").end()
    if not number % 500:
        time.sleep(0.2)
structlog.get_logger().info("exiting", at=time.time())
"""
    url = silent if place == "silent" else "http://127.0.0.1:1"
    logged = run(program, **{setting: url, "OTEL_EXPORTER_OTLP_TIMEOUT": "60"})
    [exiting] = [line for line in logged if line["event"] == "exiting"]
    # A slow machine's interpreter ends late; without a bound it were a minute.
    assert time.time() - float(str(exiting["at"])) < EXIT_SECONDS + 15
    others = [(line["event"], line.get("to")) for line in logged if line is not exiting]
    assert {event for event, _ in others} <= {"telemetry_not_exported"}
    assert len(others) == len(set(others))


def test_a_process_is_ready_only_when_all_its_parts_are() -> None:
    readiness = Readiness("kafka", "model")
    assert not readiness.is_ready
    readiness.ready("kafka")
    readiness.waiting("model", "loading")
    assert readiness.body() == {"ready": False, "waiting_for": ["model: loading"]}
    readiness.ready("model")
    assert readiness.body() == {"ready": True, "waiting_for": []}


def test_a_logged_error_tells_where_and_never_the_values_of_variables() -> None:
    program = """
import structlog
from penstock.telemetry.setup import set_up
set_up("generation")
def answer(prompt):
    raise ValueError("no way")
try:
    answer("the secret of the prompt")
except ValueError as error:
    structlog.get_logger().error("failed", exc_info=error)
"""
    with Receiver() as receiver:
        [logged] = run(program, **{ENDPOINT: receiver.url})
    assert "no way" in str(logged["exception"])
    assert "answer" in str(logged["exception"])
    assert "secret" not in str(logged["exception"])
    [record] = receiver.logs
    assert record.attributes["exception.type"] == "ValueError"
    assert b"secret" not in b"".join(receiver.bodies)

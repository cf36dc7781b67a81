"""Set-up of a process: real trace ids without an exporter, spans over OTLP with one, logs as JSON."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from penstock.telemetry.readiness import Readiness

PROGRAM = """
import structlog
from opentelemetry import trace
from penstock.telemetry.setup import set_up
provider = set_up("postprocessing")
with trace.get_tracer("t").start_as_current_span("work") as span:
    structlog.get_logger().info("something_happened", request_id="r1")
provider.shutdown()
"""


def run(**env: str) -> dict[str, str]:
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    [line] = [line for line in done.stderr.splitlines() if "something_happened" in line]
    logged: dict[str, str] = json.loads(line)
    return logged


def test_a_log_line_is_one_json_object_with_real_trace_ids() -> None:
    logged = run()
    assert (logged["event"], logged["request_id"], logged["level"]) == ("something_happened", "r1", "info")
    assert logged["service"] == "postprocessing"
    assert int(logged["trace_id"], 16) > 0


def test_spans_go_where_opentelemetrys_own_setting_says() -> None:
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        logged = run(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.server_port}",
            OTEL_EXPORTER_OTLP_COMPRESSION="none",
        )
    finally:
        server.shutdown()
        server.server_close()
    [resource] = ExportTraceServiceRequest.FromString(received[0]).resource_spans
    attributes = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert attributes["service.name"] == "penstock-postprocessing"
    [span] = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex()) == ("work", logged["trace_id"])


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
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", program], env={}, capture_output=True, text=True, timeout=60, check=True
    )
    [line] = [line for line in done.stderr.splitlines() if '"failed"' in line]
    assert "no way" in line
    assert "answer" in line
    assert "secret" not in line

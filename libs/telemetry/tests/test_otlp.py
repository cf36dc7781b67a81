"""Bytes that we write ourselves are those of the library's encoder."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TraceState

from penstock.telemetry.otlp import body_of
from penstock.telemetry.spans import context_of, within

FAR = context_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
_scalars = st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
_attributes = st.dictionaries(st.text(min_size=1), _scalars | st.lists(st.text()))


def exported(make: Callable[[trace.Tracer], object], scope: str = "scope") -> list[ReadableSpan]:
    """Return the spans that something makes and ends."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "s"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    make(provider.get_tracer(scope))
    return list(kept.get_finished_spans())


def same(spans: list[ReadableSpan]) -> bool:
    """Whether both encoders say the same of some spans."""
    return bool(spans) and ExportTraceServiceRequest.FromString(body_of(spans)) == encode_spans(spans)


@given(st.text(), st.sampled_from(SpanKind), _attributes)
def test_a_usual_span_is_written_as_the_library_does(
    name: str, kind: SpanKind, attributes: dict[str, str]
) -> None:
    assert same(exported(lambda t: t.start_span(name, FAR, kind, attributes).end()))


def test_the_whole_number_one_is_not_true() -> None:
    spans = exported(lambda t: [t.start_span("n", attributes={"a": v}).end() for v in (1, True, 1.0, "1")])
    assert same(spans)


def failed(span: Span) -> None:
    span.set_status(Status(StatusCode.ERROR, "why"))


@pytest.mark.parametrize(
    "change", [failed, lambda span: span.add_event("e", {"a": 1}), lambda span: span.add_link(linked())]
)
def test_what_is_unusual_is_written_too(change: Callable[[Span], None]) -> None:
    def make(tracer: trace.Tracer) -> None:
        with tracer.start_span("parent") as parent, tracer.start_span("child", within(parent)) as child:
            change(child)

    assert same(exported(make))


def linked() -> trace.SpanContext:
    return trace.get_current_span(FAR).get_span_context()


def test_spans_of_several_scopes_and_with_a_state_of_their_trace_stand_beside_each_other() -> None:
    def of_a_state(tracer: trace.Tracer) -> None:
        far = linked()
        state = TraceState([("a", "1")])
        parent = trace.SpanContext(far.trace_id, far.span_id, True, far.trace_flags, state)
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        tracer.start_span("n", context, links=[Link(far)]).end()
        tracer.start_span("m", context).end()

    spans = exported(of_a_state, "one") + exported(lambda t: t.start_span("x" * 300).end(), "two")
    written = ExportTraceServiceRequest.FromString(body_of(spans))
    [one, two] = written.resource_spans
    assert [span.name for group in (one, two) for span in group.scope_spans[0].spans] == ["n", "m", "x" * 300]
    assert [group.scope_spans[0].scope.name for group in (one, two)] == ["one", "two"]
    assert one.scope_spans[0].spans[1].trace_state == "a=1"

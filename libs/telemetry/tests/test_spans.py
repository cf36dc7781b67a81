"""The context in a header, and for whom work is done."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from penstock.telemetry.spans import context_of, current, link_to, traceparent, within
from penstock.telemetry.work_context import (
    NO_WORK,
    WorkContext,
    current_work,
    set_work_context,
    use_work_context,
)


@given(
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.sampled_from([0, 1, 2, 3]),
)
def test_a_header_is_the_librarys_and_comes_back(trace_id: int, span_id: int, flags: int) -> None:
    span = NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(flags)))
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, within(span))
    assert traceparent(span) == carrier["traceparent"]
    back = trace.get_current_span(context_of(traceparent(span))).get_span_context()
    assert (back.trace_id, back.span_id, back.trace_flags) == (trace_id, span_id, flags)


@given(st.text(max_size=80))
def test_what_is_no_header_is_no_context(text: str) -> None:
    context = trace.get_current_span(context_of(text)).get_span_context()
    link = link_to(text)
    assert (link is not None) == context.is_valid
    if context.is_valid:
        assert f"{context.trace_id:032x}" in text


def test_a_span_without_ids_has_no_header() -> None:
    assert traceparent(INVALID_SPAN) == ""


def test_an_exception_is_told_by_its_class_alone(spans: InMemorySpanExporter) -> None:
    try:
        with current(trace.get_tracer("t").start_span("work")):
            raise ValueError("a canary sings")
    except ValueError:
        [span] = spans.get_finished_spans()
    assert dict(span.attributes or {}) == {"error.type": "ValueError"}
    assert not span.events
    assert "canary" not in span.to_json()


async def test_a_task_works_for_whom_it_was_started(spans: InMemorySpanExporter) -> None:
    async def work(request_id: str) -> str:
        set_work_context(WorkContext(request_id, tenant="acme"))
        await asyncio.sleep(0)
        trace.get_tracer("t").start_span(request_id).end()
        return current_work().fields["request_id"]

    ids = [f"r{number}" for number in range(20)]
    assert await asyncio.gather(*map(work, ids)) == ids
    assert current_work() is NO_WORK
    told = {span.name: dict(span.attributes or {}) for span in spans.get_finished_spans()}
    assert told == {one: {"penstock.request.id": one, "penstock.tenant": "acme"} for one in ids}


def test_a_span_that_says_for_whom_itself_is_left_alone(spans: InMemorySpanExporter) -> None:
    with use_work_context(WorkContext("r1", tenant="acme")):
        trace.get_tracer("t").start_span("a", attributes=WorkContext("r2", tenant="other").attributes).end()
    [span] = spans.get_finished_spans()
    assert dict(span.attributes or {}) == {"penstock.request.id": "r2", "penstock.tenant": "other"}

"""What all code that makes spans needs: the context in `traceparent`, the current span, failures.

Spans are made so that no exception's text gets into them, which may hold content: what failed is named by a
code or a class.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from penstock.telemetry import names

_PROPAGATOR = TraceContextTextMapPropagator()


def traceparent(span: Span) -> str:
    """Return the `traceparent` header of a span (W3C Trace Context), or "" if it has no ids."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def current_traceparent() -> str:
    """Return the `traceparent` header of the current span, or "" if there is none."""
    return traceparent(trace.get_current_span())


@lru_cache(maxsize=256)  # a record's header is looked at by its wait, its handling and its links
def context_of(header: str) -> Context:
    """Return the context in a `traceparent` header (an empty one if there is none, or it is malformed)."""
    if not header:
        return Context()
    return _PROPAGATOR.extract({"traceparent": header}, Context())


def link_to(header: str) -> Link | None:
    """Return a link to the span in a `traceparent` header, if there is one."""
    context = trace.get_current_span(context_of(header)).get_span_context()
    return Link(context) if context.is_valid else None


def within(span: Span) -> Context:
    """Return a context for the children of a span."""
    return trace.set_span_in_context(span, Context())


@contextmanager
def current(span: Span) -> Iterator[Span]:
    """Make a span the current one while the block runs, and end it then.

    An exception's class becomes the span's error, unless one was told before.
    """
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except Exception as error:
            fail_unless_failed(span, type(error).__name__)
            raise


@contextmanager
def inner_span(
    scope: str, name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes = None
) -> Iterator[Span]:
    """Measure the block by a span within the current one; without one it is nobody's, and not measured.

    So what a process does by itself all the time, such as asking whether a server is well, leaves no traces.
    `scope` names the code that measures.
    """
    parent = trace.get_current_span()
    if not parent.is_recording():
        yield parent
        return
    with current(tracer_of(scope).start_span(name, kind=kind, attributes=attributes)) as span:
        yield span


def tracer_of(scope: str) -> Tracer:
    """Return the tracer of the code that `scope` names."""
    return _tracer(trace.get_tracer_provider(), scope)


@lru_cache  # OpenTelemetry makes a new one each time: two thirds of what a span costs
def _tracer(provider: TracerProvider, scope: str) -> Tracer:
    return provider.get_tracer(scope)


def fail(span: Span, error_type: str) -> None:
    """Mark a span as failed; the type is an error code or class, never content."""
    span.set_attribute(names.ERROR_TYPE, error_type)
    span.set_status(Status(StatusCode.ERROR))


def fail_unless_failed(span: Span, error_type: str) -> None:
    """Mark a span as failed, unless something more exact was said of it."""
    if names.ERROR_TYPE not in getattr(span, "attributes", ()):
        fail(span, error_type)

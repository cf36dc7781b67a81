"""Spans around every hop and the context in `traceparent` (W3C Trace Context).

Names and attributes follow OpenTelemetry's messaging conventions for Kafka: `send T` (PRODUCER) and
`process T` (CONSUMER). The many small pieces of one answer get no span of their own.
"""

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from penstock.messages.envelope import Envelope
from penstock.streaming.ports import Record
from penstock.telemetry import names

LINK_HEADER = "tracelink"
"""Of a replayed record: the `traceparent` it had before."""
_PROPAGATOR = TraceContextTextMapPropagator()


def traceparent(span: Span) -> str:
    """Return the `traceparent` header of a span."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get("traceparent", "")


def context_of(envelope: Envelope) -> Context:
    """Return the trace context a record carries (an empty one if it carries none)."""
    return _PROPAGATOR.extract({"traceparent": envelope.traceparent}, Context())


class Spans:
    """Starts the spans of one service; `group` is its consumer group."""

    def __init__(self, tracer: trace.Tracer, group: str) -> None:
        self._tracer = tracer
        self._group = group

    def process(self, envelope: Envelope, record: Record) -> Span:
        """Start the span of handling one record (or the records of one subject, from its first on).

        A record that was replayed from the dead letters links to the trace in which it failed.
        """
        partition = record.partition
        return self._tracer.start_span(
            f"process {partition.topic}",
            context_of(envelope),
            SpanKind.CONSUMER,
            {
                names.MESSAGING_SYSTEM: "kafka",
                names.MESSAGING_OPERATION_NAME: "process",
                names.MESSAGING_OPERATION_TYPE: "process",
                names.MESSAGING_DESTINATION: partition.topic,
                names.MESSAGING_PARTITION: str(partition.number),
                names.MESSAGING_OFFSET: record.offset,
                names.MESSAGING_GROUP: self._group,
                names.MESSAGING_MESSAGE_ID: envelope.id,
                names.MESSAGING_CONVERSATION_ID: envelope.subject,
                names.PENSTOCK_TENANT: envelope.tenant,
            },
            links=_links(record),
        )

    def send(self, topic: str, envelope: Envelope, parent: Span) -> Span:
        """Start the span of sending one record; it ends with the acknowledgement."""
        return self._tracer.start_span(
            f"send {topic}",
            trace.set_span_in_context(parent, Context()),
            SpanKind.PRODUCER,
            {
                names.MESSAGING_SYSTEM: "kafka",
                names.MESSAGING_OPERATION_NAME: "send",
                names.MESSAGING_OPERATION_TYPE: "send",
                names.MESSAGING_DESTINATION: topic,
                names.MESSAGING_MESSAGE_ID: envelope.id,
                names.MESSAGING_CONVERSATION_ID: envelope.subject,
            },
        )


def _links(record: Record) -> list[Link]:
    earlier = dict(record.headers).get(LINK_HEADER)
    if not earlier:
        return []
    context = _PROPAGATOR.extract({"traceparent": earlier.decode(errors="replace")}, Context())
    return [Link(trace.get_current_span(context).get_span_context())]


def fail(span: Span, error_type: str) -> None:
    """Mark a span as failed; the type is an error code or class, never content."""
    span.set_attribute(names.ERROR_TYPE, error_type)
    span.set_status(Status(StatusCode.ERROR, error_type))

"""Spans around every hop and the context in `traceparent` (W3C Trace Context).

Names and attributes follow OpenTelemetry's messaging conventions for Kafka: `send T` (PRODUCER) and
`process T` (CONSUMER). Each `process T` says how long its record has waited before, from the broker's stamp
on it to the start of its handling: who shows a trace draws that as a bar of its own. Of the many records of
one answer only the last has a span of its own (`Event.TRACED`).

A span costs its process by the attribute: what its resource says already is not said again.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind

from penstock.messages.envelope import Envelope
from penstock.streaming.clock import unix_ms
from penstock.streaming.ports import AcknowledgedOffset, Record
from penstock.telemetry import names
from penstock.telemetry.spans import context_of, fail, link_to, within
from penstock.telemetry.work_context import WorkContext

LINK_HEADER = "tracelink"
"""Of a replayed record: the `traceparent` it had before."""
_DOCUMENTS = "documents."


def work_context(topic: str, envelope: Envelope) -> WorkContext:
    """Return for whom a record is handled: what its subject is, its topic says."""
    return _work_context(topic.startswith(_DOCUMENTS), envelope.subject, envelope.tenant)


@lru_cache(maxsize=1024)  # each hop asks some times
def _work_context(is_document: bool, subject: str, tenant: str) -> WorkContext:
    return (
        WorkContext(document_id=subject, tenant=tenant)
        if is_document
        else WorkContext(subject, tenant=tenant)
    )


class Spans:
    """Starts the spans of one service. A record that carries no trace begins none.

    `group` is its consumer group, if it is in one; `client` names this process among others of its kind.
    `clock_ms` tells the broker's time, by which records are stamped, as well as it is known.
    """

    def __init__(
        self, tracer: trace.Tracer, group: str, client: str = "", clock_ms: Callable[[], int] = unix_ms
    ) -> None:
        self._tracer = tracer
        self._clock_ms = clock_ms
        us = {names.MESSAGING_SYSTEM: "kafka", names.MESSAGING_CLIENT_ID: client or group}
        self._send = {**us, **_operation("send")}
        self._process = {**us, **_operation("process"), names.MESSAGING_GROUP: group}

    def process(self, envelope: Envelope, record: Record, earlier: str = "") -> Span:
        """Start the span of handling one record (or the records of one subject, from its first on).

        A record that was replayed from the dead letters links to the trace in which it failed, and work that
        an owner before us began to the span of that, whose `traceparent` is `earlier`.
        """
        if not envelope.traceparent:
            return INVALID_SPAN
        topic, number = record.partition
        attributes: dict[str, str | int] = {
            **self._process,
            **work_context(topic, envelope).attributes,
            names.MESSAGING_DESTINATION: topic,
            names.MESSAGING_PARTITION: str(number),
            names.MESSAGING_OFFSET: record.offset,
            names.MESSAGING_CONVERSATION_ID: envelope.subject,
            names.MESSAGING_MESSAGE_ID: envelope.id,
            names.PENSTOCK_WAIT_MS: max(0, self._clock_ms() - record.timestamp_ms),
        }
        if envelope.epoch:
            attributes[names.PENSTOCK_EPOCH] = envelope.epoch
        before = [header for header in (_replayed(record), earlier) if header]
        return self._tracer.start_span(
            f"process {topic}",
            context_of(envelope.traceparent),
            SpanKind.CONSUMER,
            attributes,
            [link for header in before if (link := link_to(header))],
        )

    def batch(self, topic: str, spans: Sequence[Span]) -> Span:
        """Start the span of handling records together; it and the span of each record link to each other.

        It belongs to the records' trace if they have all the same, else it begins one of its own.
        """
        traced = [span for span in spans if span.get_span_context().is_valid]
        if not traced:
            return INVALID_SPAN
        contexts = [span.get_span_context() for span in traced]
        together = len({context.trace_id for context in contexts}) == 1
        batch = self._tracer.start_span(
            f"process {topic}",
            within(traced[0]) if together else Context(),
            SpanKind.CONSUMER,
            {**self._process, names.MESSAGING_DESTINATION: topic, names.MESSAGING_BATCH_SIZE: len(spans)},
            [Link(context) for context in contexts],
        )
        if not together:
            for span in traced:
                span.add_link(batch.get_span_context())
        return batch

    def send(self, topic: str, envelope: Envelope, parent: Context) -> Span:
        """Start the span of sending one record, which something in `parent` causes; `acknowledge` ends it."""
        if not trace.get_current_span(parent).get_span_context().is_valid:
            return INVALID_SPAN
        attributes = {
            **self._send,
            **work_context(topic, envelope).attributes,
            names.MESSAGING_DESTINATION: topic,
            names.MESSAGING_MESSAGE_ID: envelope.id,
            names.MESSAGING_CONVERSATION_ID: envelope.subject,
        }
        return self._tracer.start_span(f"send {topic}", parent, SpanKind.PRODUCER, attributes)


def acknowledge(span: Span, acknowledged: asyncio.Future[int]) -> None:
    """End the span of a record that was sent, with where it lies, or as failed."""
    if acknowledged.cancelled() or acknowledged.exception() is not None:
        fail(span, "not_acknowledged")
    else:
        record_position(span, acknowledged.result())
    span.end()


def record_position(span: Span, written: int) -> None:
    """Tell where a record that was sent lies."""
    if isinstance(written, AcknowledgedOffset) and span.is_recording():
        span.set_attribute(names.MESSAGING_PARTITION, str(written.partition))
        span.set_attribute(names.MESSAGING_OFFSET, int(written))


def _operation(name: str) -> dict[str, str]:
    return {names.MESSAGING_OPERATION_NAME: name, names.MESSAGING_OPERATION_TYPE: name}


def _replayed(record: Record) -> str:
    for name, value in record.headers:
        if name == LINK_HEADER:
            return value.decode(errors="replace")
    return ""

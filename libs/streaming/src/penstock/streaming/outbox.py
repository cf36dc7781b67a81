"""What a stage writes: events that a record caused, failures of requests, dead letters."""

import asyncio
from collections import Counter
from collections.abc import Callable

import msgspec
from opentelemetry.trace import INVALID_SPAN, Span

from penstock.messages.chat import RequestFailed
from penstock.messages.envelope import Envelope, Headers
from penstock.messages.topics import Topic
from penstock.streaming import records
from penstock.streaming.errors import HandlerError
from penstock.streaming.ports import Producer, Record, RecordTooLarge
from penstock.streaming.stage import Outgoing
from penstock.streaming.tracing import Spans, acknowledge
from penstock.telemetry.spans import traceparent, within

_FAILURE = -1  # its place among the events a record causes: a repeated failure has the same id


class Outbox:
    """Writes for one stage, whose name becomes the events' source; `clock_ms` gives Unix milliseconds."""

    def __init__(
        self,
        stage: str,
        failures: Topic | None,
        producer: Producer,
        spans: Spans,
        clock_ms: Callable[[], int],
    ) -> None:
        self._source = f"/penstock/{stage}"
        self._stage = stage
        self._failures = failures
        self._producer = producer
        self.room = producer.room
        self._spans = spans
        self._clock_ms = clock_ms
        self.buried: Counter[str] = Counter()
        """How many records of each topic went to its dead letters."""

    def emit(self, cause: Envelope, outgoing: Outgoing, nth: int, parent: Span) -> asyncio.Future[int]:
        """Send the `nth` event that `cause` caused; the future gives its offset once acknowledged."""
        topic, event = outgoing
        envelope = cause.caused(
            event.TYPE,
            nth=nth,
            source=self._source,
            time_ms=self._clock_ms(),
            traceparent=traceparent(parent),
        )
        if not event.TRACED:
            return records.send(self._producer, topic, envelope, event)
        span = self._spans.send(topic.name, envelope, within(parent))
        envelope = msgspec.structs.replace(envelope, traceparent=traceparent(span))
        acknowledged = records.send(self._producer, topic, envelope, event)
        acknowledged.add_done_callback(lambda done: acknowledge(span, done))
        return acknowledged

    async def fail_request(self, cause: Envelope, error: HandlerError, parent: Span) -> None:
        """Tell the client of a request, if the stage serves requests, that there will be no answer."""
        if self._failures is None:
            return
        failed = RequestFailed(code=error.code, message=error.message, status=error.status, stage=self._stage)
        await self.emit(cause, Outgoing(self._failures, failed), _FAILURE, parent)

    async def bury(
        self,
        record: Record,
        topic: Topic,
        error: str,
        envelope: Envelope | None = None,
        parent: Span = INVALID_SPAN,
    ) -> None:
        """Write a record to the dead letters of its topic: unchanged, with where it lay and why, in headers.

        A record too large even for that goes without its body. Raises BrokerError.
        """
        self.buried[topic.name] += 1
        headers = [*record.headers, *self._epitaph(record, error)]
        span = self._spans.send(topic.dlq, envelope, within(parent)) if envelope else INVALID_SPAN
        try:
            buried = self._producer.send(topic.dlq, record.key, record.value, headers, 0)
            await buried
        except RecordTooLarge:
            headers.append(("dlq_body", b"left out: too large"))
            buried = self._producer.send(topic.dlq, record.key, b"", headers, 0)
            await buried
        finally:
            acknowledge(span, buried)

    def _epitaph(self, record: Record, error: str) -> Headers:
        return [
            ("dlq_topic", record.partition.topic.encode()),
            ("dlq_partition", b"%d" % record.partition.number),
            ("dlq_offset", b"%d" % record.offset),
            ("dlq_stage", self._stage.encode()),
            ("dlq_error", error.encode()),
            ("dlq_time_ms", b"%d" % self._clock_ms()),
        ]

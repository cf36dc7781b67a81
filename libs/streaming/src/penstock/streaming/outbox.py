"""What a stage writes: events that a record caused, failures of requests, dead letters."""

import asyncio
from collections import Counter
from collections.abc import Callable

import msgspec
from opentelemetry.trace import INVALID_SPAN, Span

from penstock.messages.chat import RequestFailed
from penstock.messages.envelope import Envelope, Headers
from penstock.messages.event import Event
from penstock.messages.topics import Topic
from penstock.streaming import records
from penstock.streaming.errors import HandlerError
from penstock.streaming.ports import Producer, Record, RecordTooLarge
from penstock.streaming.stage import Journaled, Outgoing, Received, Stage
from penstock.streaming.tracing import Spans, acknowledge
from penstock.telemetry.spans import traceparent, within

_FAILURE = -1  # its place among the events a record causes: a repeated failure has the same id


class Outbox:
    """Writes for one stage, whose name becomes the events' source; `clock_ms` gives Unix milliseconds.

    What goes to a journal goes to the partition of the record that caused it (`number`), whatever the hash of
    its key says: an epoch counts in the partition that its owner has claimed, and in no other.
    """

    def __init__(self, stage: Stage, producer: Producer, spans: Spans, clock_ms: Callable[[], int]) -> None:
        self._source = f"/penstock/{stage.name}"
        self._stage = stage.name
        self._failures = stage.failures
        self._journal = stage.processing.journal if isinstance(stage.processing, Journaled) else None
        self._producer = producer
        self.room = producer.room
        self._spans = spans
        self._clock_ms = clock_ms
        self.buried: Counter[str] = Counter()
        """How many records of each topic went to its dead letters."""

    def emit(
        self, cause: Envelope, outgoing: Outgoing, nth: int, parent: Span, number: int
    ) -> asyncio.Future[int]:
        """Send the `nth` event that `cause` caused; the future gives its offset once acknowledged.

        `number` is that of the partition in which the cause lies.
        """
        topic, event = outgoing
        at = number if topic is self._journal else None
        envelope = cause.caused(
            event.TYPE,
            nth=nth,
            source=self._source,
            time_ms=self._clock_ms(),
            traceparent=traceparent(parent),
        )
        if not event.TRACED:
            return records.send(self._producer, topic, envelope, event, at)
        span = self._spans.send(topic.name, envelope, within(parent))
        envelope = msgspec.structs.replace(envelope, traceparent=traceparent(span))
        acknowledged = records.send(self._producer, topic, envelope, event, at)
        acknowledged.add_done_callback(lambda done: acknowledge(span, done))
        return acknowledged

    async def fail_request(self, cause: Envelope, error: HandlerError, parent: Span, number: int) -> None:
        """Say, if the stage serves requests, that there will be no answer."""
        if self._failures is None:
            return
        failed = RequestFailed(code=error.code, message=error.message, status=error.status, stage=self._stage)
        await self.emit(cause, Outgoing(self._failures, failed), _FAILURE, parent, number)

    def pass_on(self, failed: Received[Event], parent: Span) -> asyncio.Future[int]:
        """Send the failure of a request on to the one who ends requests; the future is that of `emit`."""
        assert self._failures is not None  # noqa: S101  # only stages of requests are told of failures
        outgoing = Outgoing(self._failures, failed.event)
        return self.emit(failed.envelope, outgoing, _FAILURE, parent, failed.partition.number)

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

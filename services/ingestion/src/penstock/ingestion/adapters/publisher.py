"""Events of documents in the log (port: Publisher)."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from opentelemetry import trace

from penstock.ingestion.adapters.log import Connection
from penstock.ingestion.ports import Leftover, OutboxEvent
from penstock.messages.documents import (
    DocumentChunked,
    DocumentDeleted,
    DocumentStateChanged,
)
from penstock.messages.envelope import Envelope, derived_id, to_headers
from penstock.messages.event import Event
from penstock.messages.topics import DOCUMENTS_CHUNKED, DOCUMENTS_DELETED, DOCUMENTS_STATES, Topic
from penstock.streaming.ports import BrokerError, Producer
from penstock.streaming.records import send, take_back
from penstock.streaming.tracing import Spans, acknowledge
from penstock.telemetry.spans import context_of, current_traceparent, traceparent

SOURCE = "/penstock/ingestion"
_TOPICS: dict[type[Event], Topic] = {
    DocumentChunked: DOCUMENTS_CHUNKED,
    DocumentDeleted: DOCUMENTS_DELETED,
    DocumentStateChanged: DOCUMENTS_STATES,
}


class LogPublisher:
    """Port: Publisher. `now_ms` gives Unix milliseconds; `instance` names this process."""

    def __init__(self, connection: Connection, now_ms: Callable[[], int], instance: str = "") -> None:
        self._connection = connection
        self._now_ms = now_ms
        self._spans = Spans(trace.get_tracer("penstock.ingestion"), "ingestion", instance, now_ms)

    async def publish(self, tenant: str, parts: Sequence[DocumentChunked]) -> None:
        acks = []
        for event in parts:
            name = f"{event.document_id}/{event.version}/{event.part}"
            acks.append(self._send(tenant, event.document_id, name, event, current_traceparent()))
            await self._open().room()
        await asyncio.gather(*acks)

    async def send(self, written: Sequence[OutboxEvent]) -> None:
        acks = [
            self._send(
                one.tenant, one.subject, f"{one.subject}/outbox/{one.number}", one.event, one.traceparent
            )
            for one in written
        ]
        await asyncio.gather(*acks)

    async def take_back(self, leftovers: Sequence[Leftover]) -> None:
        acks = []
        for one in leftovers:
            name = f"{one.document_id}/{one.version}/{one.part}"
            envelope = self._envelope(one.tenant, one.document_id, derived_id(name, DocumentChunked.TYPE, 1))
            acks.append(take_back(self._open(), DOCUMENTS_CHUNKED, envelope, (one.version, one.part)))
            if one.part == 0:
                # Records from before this topic was compacted have the document's id for a key.
                acks.append(
                    self._open().send(
                        DOCUMENTS_CHUNKED.name, one.document_id.encode(), None, to_headers(envelope)
                    )
                )
        await asyncio.gather(*acks)

    def _send(self, tenant: str, subject: str, name: str, event: Event, parent: str) -> "asyncio.Future[int]":
        """Write an event; where it was decided on in no trace (`parent`), it begins none."""
        identity = derived_id(name, event.TYPE, 0)  # the same when it is written again
        envelope = self._envelope(tenant, subject, identity, event.TYPE)
        topic, producer = _TOPICS[type(event)], self._open()
        if not parent:
            return send(producer, topic, envelope, event)
        span = self._spans.send(topic.name, envelope, context_of(parent))
        envelope = msgspec.structs.replace(envelope, traceparent=traceparent(span))
        acknowledged = send(producer, topic, envelope, event)
        acknowledged.add_done_callback(lambda done: acknowledge(span, done))
        return acknowledged

    def _envelope(
        self, tenant: str, subject: str, identity: str, event_type: str = DocumentChunked.TYPE
    ) -> Envelope:
        return Envelope(
            id=identity,
            type=event_type,
            source=SOURCE,
            time_ms=self._now_ms(),
            subject=subject,
            tenant=tenant,
        )

    def _open(self) -> Producer:
        producer = self._connection.producer
        if producer is None:
            raise BrokerError("not connected to Kafka")
        return producer

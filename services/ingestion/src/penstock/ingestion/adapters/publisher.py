"""Events of documents in the log (port: Publisher)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from penstock.ingestion.adapters.log import Connection
from penstock.ingestion.ports import Written
from penstock.messages.documents import (
    DocumentChunked,
    DocumentDeleted,
    DocumentStateChanged,
)
from penstock.messages.envelope import Envelope, derived_id
from penstock.messages.event import Event
from penstock.messages.topics import DOCUMENTS_CHUNKED, DOCUMENTS_DELETED, DOCUMENTS_STATES, Topic
from penstock.streaming.ports import BrokerError, Producer
from penstock.streaming.records import send

SOURCE = "/penstock/ingestion"
_TOPICS: dict[type[Event], Topic] = {
    DocumentChunked: DOCUMENTS_CHUNKED,
    DocumentDeleted: DOCUMENTS_DELETED,
    DocumentStateChanged: DOCUMENTS_STATES,
}


class LogPublisher:
    """Port: Publisher. `now_ms` gives Unix milliseconds."""

    def __init__(self, connection: Connection, now_ms: Callable[[], int]) -> None:
        self._connection = connection
        self._now_ms = now_ms

    async def publish(self, tenant: str, events: AsyncIterator[DocumentChunked]) -> int:
        acks = []
        async for event in events:
            name = f"{event.document_id}/{event.version}/{event.part}"
            acks.append(self._send(tenant, event.document_id, name, event))
            await self._open().room()
        await self._acknowledged(acks)
        return len(acks)

    async def send(self, written: Sequence[Written]) -> None:
        acks = [
            self._send(one.tenant, one.subject, f"{one.subject}/outbox/{one.number}", one.event)
            for one in written
        ]
        await self._acknowledged(acks)

    async def _acknowledged(self, acks: "Sequence[asyncio.Future[int]]") -> None:
        try:
            await asyncio.gather(*acks)
        except BrokerError:
            self._connection.broken()
            raise

    def _send(self, tenant: str, subject: str, name: str, event: Event) -> "asyncio.Future[int]":
        envelope = Envelope(
            id=derived_id(name, event.TYPE, 0),  # the same when it is written again
            type=event.TYPE,
            source=SOURCE,
            time_ms=self._now_ms(),
            subject=subject,
            tenant=tenant,
        )
        return send(self._open(), _TOPICS[type(event)], envelope, event)

    def _open(self) -> Producer:
        producer = self._connection.producer
        if producer is None:
            raise BrokerError("not connected to Kafka")
        return producer

"""Events decided on together with a change of the records (port: Outbox; the "transactional outbox")."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.database.database import Database
from penstock.ingestion.adapters.tables import OutboxRow
from penstock.ingestion.domain.model import Document
from penstock.ingestion.ports import OutboxEvent
from penstock.messages import codec
from penstock.messages.documents import DocumentDeleted, DocumentStateChanged
from penstock.messages.event import Event
from penstock.telemetry.spans import current_traceparent

NOTED = "penstock_noted"
"""In the information of a connection: its transaction has put events into the outbox."""


class SqlOutbox:
    """Port: Outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def next(self, limit: int) -> list[OutboxEvent]:
        query = select(OutboxRow).order_by(OutboxRow.number).limit(limit)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [
            OutboxEvent(
                row.number,
                row.tenant,
                row.subject,
                codec.decode(row.type, row.body.encode()),
                row.traceparent,
            )
            for row in rows
        ]

    async def done(self, numbers: Sequence[int]) -> None:
        async with self._database.writing() as connection:
            await connection.execute(delete(OutboxRow).where(OutboxRow.number.in_(numbers)))


async def note(connection: AsyncConnection, tenant: str, subject: str, events: Sequence[Event]) -> None:
    """Have events written to the log if this transaction holds."""
    rows = [
        {
            "tenant": tenant,
            "subject": subject,
            "type": event.TYPE,
            "body": codec.encode(event).decode(),
            "traceparent": current_traceparent(),
        }
        for event in events
    ]
    await connection.execute(insert(OutboxRow), rows)
    connection.info[NOTED] = True


async def note_state(connection: AsyncConnection, document: Document) -> None:
    """Have a document's state told."""
    await note(connection, document.tenant, document.id, [_state(document)])


async def note_deleted(connection: AsyncConnection, document: Document) -> None:
    """Have a document forgotten, and that told."""
    forget = DocumentDeleted(document_id=document.id, version=document.version)
    told = _state(document, deleted=True)
    await note(connection, document.tenant, document.id, [forget, told])


def _state(document: Document, *, deleted: bool = False) -> DocumentStateChanged:
    return DocumentStateChanged(
        document_id=document.id,
        version=document.version,
        store_id=document.store_id,
        file_id=document.file_id,
        file_name=document.file_name,
        state="deleted" if deleted else document.state,
        attempt=document.attempt,
        chunks=document.chunks,
        pages=document.pages,
        code=document.code,
        message=document.message,
    )

"""What becomes of a record that cannot be handled: its request is told, and it goes to the dead letters."""

import structlog
from opentelemetry.trace import Span

from penstock.messages.envelope import Envelope
from penstock.messages.topics import Topic
from penstock.streaming.attempts import DeadlineExceeded
from penstock.streaming.errors import HandlerError
from penstock.streaming.outbox import Outbox
from penstock.streaming.ports import Record
from penstock.streaming.tracing import work_context
from penstock.telemetry.spans import fail

log = structlog.get_logger()


class Failures:
    """Handles the failures of one stage."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def fail(
        self, record: Record, topic: Topic, envelope: Envelope, error: HandlerError, span: Span
    ) -> None:
        """Fail the request of a record, and bury the record unless it is only late. Raises BrokerError."""
        fail(span, error.code)
        log.warning(
            "request_failed",
            **work_context(topic.name, envelope).fields,
            code=error.code,
            topic=topic.name,
            partition=record.partition.number,
            offset=record.offset,
        )
        await self._outbox.fail_request(envelope, error, span, record.partition.number)
        if not isinstance(error, DeadlineExceeded):
            await self._outbox.bury(record, topic, str(error), envelope, span)

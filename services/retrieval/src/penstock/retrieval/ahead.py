"""Questions are read ahead of their tokenization, so that their queries are embedded meanwhile.

Only a saving of time: what is missed here, or comes late, is embedded when its question comes the usual way.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import structlog
from opentelemetry import trace

from penstock.messages.chat import ChatRequested, Message
from penstock.messages.event import Event, InvalidEvent
from penstock.messages.topics import CHAT_REQUESTS
from penstock.retrieval.domain.scope import scope_of
from penstock.retrieval.searching import Searcher
from penstock.streaming import records
from penstock.streaming.ports import BrokerError, Partition, Reader, Record
from penstock.streaming.stage import Outgoing, Received
from penstock.streaming.tracing import work_context
from penstock.telemetry.spans import context_of
from penstock.telemetry.work_context import use_work_context

POLL_S = 5.0
RETRY_S = 5.0
MINE_S = 60.0
"""For so long after a question of a partition its next ones are taken to come to this replica, too."""
Handle = Callable[[Received[Event]], AsyncGenerator[Outgoing, None]]
log = structlog.get_logger()


class Ahead:
    """Reads chat.requests, from its end on and without a group, beside tokenization.

    The stages' topics have the same partitions: of those whose questions come to this replica, the queries
    are embedded. `now` gives seconds of a clock.
    """

    def __init__(
        self,
        searcher: Searcher,
        open_reader: Callable[[], Awaitable[Reader]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._searcher = searcher
        self._open_reader = open_reader
        self._now = now
        self._came: dict[int, float] = {}

    def noting(self, handle: Handle) -> Handle:
        """Return the same handler, of which is noted whose partitions' questions come to it."""

        def noted(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
            self._came[received.partition.number] = self._now()
            return handle(received)

        return noted

    async def run(self) -> None:
        """Read for ever; while the broker is away nothing is read, and nothing is lost by that."""
        while True:
            try:
                await self._read(await self._open_reader())
            except BrokerError as error:
                log.warning("not_read_ahead", reason=str(error), retried_after_s=RETRY_S)
                await asyncio.sleep(RETRY_S)

    async def _read(self, reader: Reader) -> None:
        partitions = [Partition(CHAT_REQUESTS.name, n) for n in range(CHAT_REQUESTS.partitions)]
        try:
            await reader.read(dict.fromkeys(partitions, "end"))
            while True:
                for record in await reader.poll(POLL_S):
                    if self._now() - self._came.get(record.partition.number, -MINE_S) < MINE_S:
                        self._begin(record)
        finally:
            await reader.close()

    def _begin(self, record: Record) -> None:
        """Have the query of a question embedded, as a part of its trace."""
        try:
            asked = records.decode(record, CHAT_REQUESTS)
        except InvalidEvent:  # tokenization says so
            return
        if isinstance(asked.event, ChatRequested) and (query := query_of(asked.event.messages)):
            envelope = asked.envelope
            with (
                trace.use_span(trace.get_current_span(context_of(envelope.traceparent))),
                use_work_context(work_context(CHAT_REQUESTS.name, envelope)),
            ):
                self._searcher.expect(scope_of(envelope.tenant, asked.event.search), query)


def query_of(messages: tuple[Message, ...]) -> str:
    """Return what tokenization will choose as the query, or an empty text: the last text of a user."""
    texts = (message.content for message in reversed(messages) if message.role == "user")
    return next((text for text in texts if text.strip()), "")

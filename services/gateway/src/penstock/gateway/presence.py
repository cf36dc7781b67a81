"""Says in the log which clients are there, and which requests nobody wants any more (chat.cancellations).

Generation decides from this when to give a request up, since only the log knows of clients at all gateways.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import structlog

from penstock.gateway.domain import errors
from penstock.gateway.domain.request_info import RequestInfo
from penstock.gateway.following import Follower
from penstock.messages import ids
from penstock.messages.chat import CancelRequested, ClientJoined, ClientLeft
from penstock.messages.envelope import Envelope, derived_id
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_CANCELLATIONS
from penstock.streaming import records
from penstock.streaming.ports import BrokerError, Producer

FIRST = "first"
"""The connection that made the request: it counts as connected from the start."""
SOURCE = "/penstock/gateway"
log = structlog.get_logger(__name__)


class Connection(NamedTuple):
    """One client at one answer; when it has gone it is waited for `grace_ms` milliseconds."""

    name: str
    grace_ms: int


class Presence:
    """Writes who comes and goes; `producer` gives the log's, None until there is one."""

    def __init__(
        self,
        producer: Callable[[], Producer | None],
        now_ms: Callable[[], int],
        ack_s: float,
        randbits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        self._producer = producer
        self._now_ms = now_ms
        self._ack_s = ack_s
        self._randbits = randbits

    def another(self, grace_ms: int) -> Connection:
        """Return a connection that comes after the first."""
        return Connection(f"{self._randbits(64):016x}", grace_ms)

    @contextmanager
    def attending(
        self, request_id: str, info: RequestInfo, follower: Follower, connection: Connection
    ) -> Iterator[None]:
        """Note that a client follows an answer while the block runs. Nothing here waits or fails."""
        if info.background or follower.answer.final:
            yield
            return
        if connection.name != FIRST:
            self._note(request_id, info.tenant, ClientJoined(connection=connection.name), connection.name)
        try:
            yield
        finally:
            if not follower.answer.final:
                left = ClientLeft(connection=connection.name, grace_ms=connection.grace_ms)
                self._note(request_id, info.tenant, left, connection.name)

    async def cancel(self, request_id: str, tenant: str) -> None:
        """Have a request given up now. Raises ApiError 503 if the log does not take it."""
        try:
            async with asyncio.timeout(self._ack_s):
                await self._send(request_id, tenant, CancelRequested(), "cancel")
        except (BrokerError, TimeoutError) as error:
            log.warning("cancel_not_written", request_id=request_id, reason=str(error) or "no answer")
            raise errors.not_accepted() from error

    def _note(self, request_id: str, tenant: str, event: Event, what: str) -> None:
        try:
            written = self._send(request_id, tenant, event, what)
        except BrokerError as error:
            _log_lost(request_id, event, error)
        else:
            written.add_done_callback(lambda done: _settle(done, request_id, event))

    def _send(self, request_id: str, tenant: str, event: Event, what: str) -> "asyncio.Future[int]":
        producer = self._producer()
        if producer is None:
            raise BrokerError("not connected")
        envelope = Envelope(
            id=derived_id(request_id, f"{SOURCE}/{what}/{event.TYPE}", 0),
            type=event.TYPE,
            source=SOURCE,
            time_ms=self._now_ms(),
            subject=request_id,
            tenant=tenant,
            reply_partition=ids.reply_partition(request_id),
        )
        return records.send(producer, CHAT_CANCELLATIONS, envelope, event)


def _settle(done: "asyncio.Future[int]", request_id: str, event: Event) -> None:
    if done.cancelled():
        return
    error = done.exception()
    if error is not None:
        _log_lost(request_id, event, error)


def _log_lost(request_id: str, event: Event, error: BaseException) -> None:
    log.warning("presence_not_written", request_id=request_id, event_type=event.TYPE, reason=str(error))

"""Finds a request by its id alone, whichever gateway took it: what was asked, and the answer so far.

The id says where the answer is (its reply partition) and from when on. What was asked is in chat.requests.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import structlog

from penstock.gateway.budget import Budget
from penstock.gateway.domain import errors
from penstock.gateway.domain.answer import Told
from penstock.gateway.domain.asked import Asked
from penstock.gateway.following import Follower, Following, Subject
from penstock.gateway.history import History, Wanted
from penstock.messages import ids
from penstock.messages.chat import ChatRequested
from penstock.messages.event import InvalidEvent
from penstock.messages.topics import CHAT_REQUESTS, CHAT_RESPONSES
from penstock.streaming import records
from penstock.streaming.ports import Partition, Record

SLACK_MS = 6 * 60_000
"""So far may clocks be apart: of gateways, stages and the broker."""
NEAR_MS = 5_000
"""Clocks are seldom that far apart: a first look back needs no more, and costs little."""
log = structlog.get_logger(__name__)


class Live(Protocol):
    """The live reader, which reads a partition of chat.responses while somebody needs it."""

    def reading(self, partition: int) -> AbstractAsyncContextManager[None]:
        """Have a partition read while the block runs; it begins when that is so."""


@dataclass(frozen=True, slots=True)
class RecallLimits:
    """`answer_ms`: so long after a request was made its answer may end, by the clock that made it.

    `retention_ms`: older requests are not looked for. `patience_s`: so long may looking take.
    """

    answer_ms: int = 125_000
    retention_ms: int = 7 * 86_400_000
    patience_s: float = 60


class Place(NamedTuple):
    """What an id says: which partition of chat.responses, and the Unix time in milliseconds."""

    partition: int
    created_ms: int


class Recalls:
    """Finds requests for all who ask, at most so many at once as the budget has."""

    def __init__(
        self,
        following: Following,
        history: History,
        live: Live,
        limits: RecallLimits,
        now_ms: Callable[[], int],
        waiting: Budget,
    ) -> None:
        self._following = following
        self._history = history
        self._live = live
        self._limits = limits
        self._now_ms = now_ms
        self._waiting = waiting

    async def asked(self, request_id: str) -> Asked | None:
        """Return what was asked in a request, None if there is none of this id, or no more.

        Raises ApiError 429, 503.
        """
        known = self._following.asked(request_id)
        if known is not None:
            return known
        place = self._place(request_id)
        if place is None:
            return None
        near = place.created_ms - NEAR_MS
        until = place.created_ms + 2 * SLACK_MS
        with self._waiting.taken():
            async with _patience(self._limits.patience_s):
                found = await self._search(request_id, near, until)
                return found or await self._search(request_id, place.created_ms - SLACK_MS, near)

    @asynccontextmanager
    async def follow(self, request_id: str, asked: Asked) -> AsyncIterator[Follower]:
        """Follow the answer to a request that was made before: all of it so far, then live.

        Raises ApiError 429, 503.
        """
        async with AsyncExitStack() as stack:
            async with _patience(self._limits.patience_s):
                await stack.enter_async_context(self._live.reading(ids.reply_partition(request_id)))
            follower = stack.enter_context(self._following.follow(request_id, asked, live=False))
            await self._recalled(request_id, follower.subject)
            yield follower

    async def _recalled(self, request_id: str, subject: Subject) -> None:
        """Wait until the subject is live; the first who waits starts what all wait for."""
        if subject.live:
            return
        if subject.recalling is None:
            subject.recalling = asyncio.create_task(self._recall(request_id, subject))
        with self._waiting.taken():
            async with _patience(self._limits.patience_s):
                await asyncio.shield(subject.recalling)

    def _place(self, request_id: str) -> Place | None:
        try:
            place = Place(ids.reply_partition(request_id), ids.created_ms(request_id))
        except ValueError:
            return None
        age_ms = self._now_ms() - place.created_ms
        kept = -SLACK_MS <= age_ms <= self._limits.retention_ms + SLACK_MS
        return place if kept and place.partition < CHAT_RESPONSES.partitions else None

    async def _search(self, request_id: str, since_ms: int, until_ms: int) -> Asked | None:
        """Look for the question in all partitions: only the producer knows which one a key hashes to."""
        found: asyncio.Future[Asked | None] = asyncio.get_running_loop().create_future()
        left = CHAT_REQUESTS.partitions

        def take(record: Record) -> bool:
            asked = _asked_in(record, request_id)
            if asked is not None and not found.done():
                found.set_result(asked)
            return found.done()

        def end() -> None:
            nonlocal left
            left -= 1
            if left == 0 and not found.done():
                found.set_result(None)

        search = [
            Wanted(Partition(CHAT_REQUESTS.name, n), request_id.encode(), since_ms, until_ms, take, end)
            for n in range(CHAT_REQUESTS.partitions)
        ]
        for wanted in search:
            self._history.want(wanted)
        try:
            return await found
        finally:
            for wanted in search:
                wanted.over = True

    async def _recall(self, request_id: str, subject: Subject) -> None:
        """Read an answer from the log, from a bit before its request was made on."""
        if not await self._read(request_id, subject, NEAR_MS):
            await self._read(request_id, subject, SLACK_MS)

    async def _read(self, request_id: str, subject: Subject, slack_ms: int) -> bool:
        """Read from `slack_ms` before the request. Return whether the answer's beginning was found."""
        place = Place(ids.reply_partition(request_id), ids.created_ms(request_id))
        answer, whole = self._following.new_answer(), True
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def take(record: Record) -> bool:
            nonlocal whole
            try:
                told = answer.tell(records.decode(record, CHAT_RESPONSES).event)
            except InvalidEvent as error:
                log.warning("record_is_no_event", request_id=request_id, reason=str(error))
                return False
            whole = whole and told is not Told.GAP
            return answer.end is not None

        def end() -> None:
            if done.done():
                return
            # Text whose beginning is missing, or a bare error, may have had more before the first look.
            found = (whole and answer.started) or slack_ms == SLACK_MS
            if found:
                subject.adopt(answer)
            done.set_result(found)

        wanted = Wanted(
            Partition(CHAT_RESPONSES.name, place.partition),
            request_id.encode(),
            place.created_ms - slack_ms,
            place.created_ms + self._limits.answer_ms + 3 * SLACK_MS,
            take,
            end,
        )
        self._history.want(wanted)
        try:
            return await done
        finally:
            wanted.over = True


@asynccontextmanager
async def _patience(seconds: float) -> AsyncIterator[None]:
    """End a wait for the log with ApiError 503."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise errors.not_ready(["kafka: the log is slow to read"]) from None


def _asked_in(record: Record, request_id: str) -> Asked | None:
    try:
        received = records.decode(record, CHAT_REQUESTS)
    except InvalidEvent as error:
        log.warning("record_is_no_event", request_id=request_id, reason=str(error))
        return None
    if not isinstance(received.event, ChatRequested):
        return None
    return Asked(received.envelope.tenant, received.event.model, received.event.background)

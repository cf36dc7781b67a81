"""Reads one request back from the log: what was asked, and the answer up to now.

The id says where the answer is (its reply partition) and from when on. What was asked is in chat.requests.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import structlog

from penstock.gateway.domain.answer import Answer, Effect
from penstock.gateway.domain.request_info import RequestInfo
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


class IdParts(NamedTuple):
    """What an id says: which partition of chat.responses, and the Unix time in milliseconds."""

    partition: int
    created_ms: int


class Found(NamedTuple):
    """A question in the log, and the Unix time in milliseconds at which the broker wrote it there."""

    info: RequestInfo
    written_ms: int


def id_parts_of(request_id: str) -> IdParts:
    """Return what an id says. Raises ValueError if it is none."""
    return IdParts(ids.reply_partition(request_id), ids.created_ms(request_id))


class Readback:
    """Reads requests back by way of the history, which serves many in one pass.

    `answer_ms`: so long after a request was made its answer may end, by the clock that made it. `partitions`:
    of chat.requests, in which questions are looked for.
    """

    def __init__(
        self, history: History, new_answer: Callable[[], Answer], answer_ms: int, partitions: int
    ) -> None:
        self._history = history
        self._new_answer = new_answer
        self._answer_ms = answer_ms
        self._partitions = partitions

    async def question(self, request_id: str) -> Found | None:
        """Return the question, None if the log has no request of this id."""
        created_ms = id_parts_of(request_id).created_ms
        near = created_ms - NEAR_MS
        found = await self._search(request_id, near, created_ms + 2 * SLACK_MS)
        return found or await self._search(request_id, created_ms - SLACK_MS, near)

    async def answer(self, request_id: str, written_ms: int | None, adopt: Callable[[Answer], None]) -> None:
        """Read an answer, from a bit before its request was made on, and hand it to `adopt`.

        That is called in the step of the event loop in which it holds all that the live reader has passed.
        `written_ms`: when the broker wrote the question, None if that is not known. If that is not before the
        first look's beginning, nor is the answer: one whose beginning is not found has not begun.
        """
        created_ms = id_parts_of(request_id).created_ms
        near = created_ms - NEAR_MS
        all_is_near = written_ms is not None and written_ms >= near

        def suffices(answer: Answer, whole: bool) -> bool:
            # Else text whose beginning is missing, or a bare error, may have had more before.
            return whole and (answer.started or all_is_near)

        if not await self._read(request_id, near, suffices, adopt):
            await self._read(request_id, created_ms - SLACK_MS, lambda *_: True, adopt)

    async def _search(self, request_id: str, since_ms: int, until_ms: int) -> Found | None:
        """Look for the question in all partitions: only the producer knows which one a key hashes to."""
        found: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
        left = self._partitions

        def take(record: Record) -> bool:
            info = _info_in(record, request_id)
            if info is not None and not found.done():
                found.set_result(Found(info, record.timestamp_ms))
            return found.done()

        def end() -> None:
            nonlocal left
            left -= 1
            if left == 0 and not found.done():
                found.set_result(None)

        search = [
            Wanted(Partition(CHAT_REQUESTS.name, n), request_id.encode(), since_ms, until_ms, take, end)
            for n in range(self._partitions)
        ]
        for wanted in search:
            self._history.want(wanted)
        try:
            return await found
        finally:
            for wanted in search:
                wanted.over = True

    async def _read(
        self,
        request_id: str,
        since_ms: int,
        suffices: Callable[[Answer, bool], bool],
        adopt: Callable[[Answer], None],
    ) -> bool:
        """Read from `since_ms` on. Return whether what was found, and whether it has no gap, suffices."""
        parts = id_parts_of(request_id)
        answer, whole = self._new_answer(), True
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def take(record: Record) -> bool:
            nonlocal whole
            try:
                effect = answer.apply(records.decode(record, CHAT_RESPONSES).event)
            except InvalidEvent as error:
                log.warning("record_is_no_event", request_id=request_id, reason=str(error))
                return False
            whole = whole and effect is not Effect.GAP
            return answer.end is not None

        def end() -> None:
            if done.done():
                return
            found = suffices(answer, whole)
            if found:
                adopt(answer)
            done.set_result(found)

        wanted = Wanted(
            Partition(CHAT_RESPONSES.name, parts.partition),
            request_id.encode(),
            since_ms,
            parts.created_ms + self._answer_ms + 3 * SLACK_MS,
            take,
            end,
        )
        self._history.want(wanted)
        try:
            return await done
        finally:
            wanted.over = True


def _info_in(record: Record, request_id: str) -> RequestInfo | None:
    try:
        received = records.decode(record, CHAT_REQUESTS)
    except InvalidEvent as error:
        log.warning("record_is_no_event", request_id=request_id, reason=str(error))
        return None
    if not isinstance(received.event, ChatRequested):
        return None
    return RequestInfo(received.envelope.tenant, received.event.model, received.event.background)

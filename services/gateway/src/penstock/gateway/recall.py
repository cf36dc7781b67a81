"""Finds a request by its id alone, whichever gateway took it: what was asked, and the answer so far.

Reading back takes longest when all clients of a gateway that died come at once; some lose patience and come
again. So what is read back belongs to none of them: it goes on without them, and waits for their return.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from penstock.gateway.budget import Budget
from penstock.gateway.domain import errors
from penstock.gateway.domain.answer import Answer
from penstock.gateway.domain.request_info import RequestInfo
from penstock.gateway.following import Follower, Following
from penstock.gateway.kept_answers import KeptAnswers
from penstock.gateway.readback import SLACK_MS, Found, IdParts, Readback, id_parts_of
from penstock.gateway.single_flight import SingleFlight
from penstock.messages import ids
from penstock.messages.topics import CHAT_RESPONSES

MAX_QUESTIONS = 8192
"""So many are remembered once they are found; each is a few hundred bytes, and never changes."""


class Live(Protocol):
    """The live reader, which reads a partition of chat.responses while somebody needs it."""

    def needed(self, partition: int) -> AbstractContextManager[None]:
        """Have a partition read while the block runs; it may begin before that is so."""

    async def arrived(self, partition: int) -> None:
        """Wait until a partition that is needed is read."""


@dataclass(frozen=True, slots=True)
class RecallLimits:
    """`retention_ms`: older requests are not looked for. `patience_s`: so long a client waits.

    Reading itself may take twice as long, so that a client that comes again finds it under way.
    """

    retention_ms: int = 7 * 86_400_000
    patience_s: float = 60


class Recalls:
    """Finds requests for all who ask; `reading` bounds how many are read back at once."""

    def __init__(
        self,
        following: Following,
        readback: Readback,
        live: Live,
        limits: RecallLimits,
        now_ms: Callable[[], int],
        reading: Budget,
    ) -> None:
        self._following = following
        self._readback = readback
        self._live = live
        self._limits = limits
        self._now_ms = now_ms
        self._reading = reading
        self._questions: OrderedDict[str, Found] = OrderedDict()
        self._answers = KeptAnswers()
        self._looking = SingleFlight[str, Found | None]("question")
        self._recalling = SingleFlight[str, None]("answer")

    async def find(self, request_id: str) -> RequestInfo | None:
        """Return what was asked in a request, None if there is none of this id, or no more.

        Raises ApiError 429, 503.
        """
        subject = self._following.usable(request_id)
        if subject is not None:
            return subject.info
        if self._kept_id_parts(request_id) is None:
            return None
        found = self._questions.get(request_id)
        if found is None:
            async with _patience(self._limits.patience_s):
                found = await self._looking.do(request_id, lambda: self._look(request_id))
        return None if found is None else found.info

    @asynccontextmanager
    async def resume(self, request_id: str, info: RequestInfo) -> AsyncIterator[Follower]:
        """Follow the answer to a request that was made before: all of it so far, then live.

        Raises ApiError 429, 503.
        """
        partition = ids.reply_partition(request_id)
        with self._live.needed(partition):
            async with _patience(self._limits.patience_s):
                await self._live.arrived(partition)
                while self._following.usable(request_id) is None:
                    await self._recalling.do(request_id, lambda: self._recall(request_id, info))
            with self._following.subscribe(request_id, info) as follower:
                yield follower

    async def close(self) -> None:
        """Give up what is being read."""
        await self._looking.close()
        await self._recalling.close()
        self._answers.close()

    def _kept_id_parts(self, request_id: str) -> IdParts | None:
        try:
            parts = id_parts_of(request_id)
        except ValueError:
            return None
        age_ms = self._now_ms() - parts.created_ms
        kept = -SLACK_MS <= age_ms <= self._limits.retention_ms + SLACK_MS
        return parts if kept and parts.partition < CHAT_RESPONSES.partitions else None

    async def _look(self, request_id: str) -> Found | None:
        with self._reading.taken():
            async with _patience(2 * self._limits.patience_s):
                found = await self._readback.question(request_id)
        if found is not None:
            self._questions[request_id] = found
            if len(self._questions) > MAX_QUESTIONS:
                self._questions.popitem(last=False)
        return found

    async def _recall(self, request_id: str, info: RequestInfo) -> None:
        """Read an answer back, and follow it for those who wait, or will come back for it."""
        partition = ids.reply_partition(request_id)
        question = self._questions.get(request_id)
        written_ms = None if question is None else question.written_ms
        with ExitStack() as hold:

            def adopt(answer: Answer) -> None:
                hold.enter_context(self._following.subscribe(request_id, info, answer))
                self._answers.keep(hold.pop_all(), answer)

            with self._reading.taken():
                async with _patience(2 * self._limits.patience_s):
                    hold.enter_context(self._live.needed(partition))
                    await self._live.arrived(partition)
                    await self._readback.answer(request_id, written_ms, adopt)


@asynccontextmanager
async def _patience(seconds: float) -> AsyncIterator[None]:
    """End a wait for the log with ApiError 503."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise errors.not_ready(["kafka: the log is slow to read"]) from None

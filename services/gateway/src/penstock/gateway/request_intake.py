"""A question becomes a request, or joins the request that its idempotency key stands for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog
from msgspec.structs import replace
from opentelemetry.trace import Span

from penstock.gateway.domain import errors
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.domain.request_info import RequestInfo, fingerprint
from penstock.gateway.following import Follower
from penstock.gateway.handler import Exchange
from penstock.gateway.ports import AccountsAway, Claim, IdempotencyKeys
from penstock.gateway.presence import FIRST, Connection, Presence
from penstock.gateway.readback import SLACK_MS
from penstock.gateway.recall import Recalls
from penstock.messages.chat import AnswersFrom, ChatRequested

log = structlog.get_logger(__name__)


class Question(NamedTuple):
    """What a client sends: `request_id` is new, `key` for idempotency; `resumes`: it had events before.

    `answers` is what its answer rests on if it does not say itself. A rule may change, and a question that is
    sent once more is still the same: the rule is no part of its claim.
    """

    request_id: str
    tenant: str
    content: ChatRequested
    key: str | None = None
    grace_ms: int = 10_000
    resumes: bool = False
    answers: AnswersFrom | None = None

    @property
    def sent(self) -> ChatRequested:
        """What goes into the log."""
        return self.content if self.answers is None else replace(self.content, answers=self.answers)

    @property
    def info(self) -> RequestInfo:
        """What is kept of it while its answer is followed."""
        return RequestInfo(self.tenant, self.content.model, self.content.background)

    @property
    def claim(self) -> Claim:
        """What its key is to stand for."""
        return Claim(self.request_id, fingerprint(self.content))


class Attended(NamedTuple):
    """A request whose answer a client follows."""

    request_id: str
    info: RequestInfo
    follower: Follower


class RequestIntake:
    """The way of a question into the log."""

    def __init__(
        self, exchange: Exchange, recalls: Recalls, presence: Presence, keys: IdempotencyKeys
    ) -> None:
        self._exchange = exchange
        self._recalls = recalls
        self._presence = presence
        self._keys = keys

    @asynccontextmanager
    async def submit(self, question: Question, span: Span) -> AsyncIterator[Attended]:
        """Write a question to the log, or find the request that its key stands for, and follow the answer.

        Raises ApiError: 404, 413, 422, 429, 503.
        """
        earlier_id: str | None = None
        # Followed before the key is claimed: whoever finds the key at this gateway finds the request, too.
        with self._exchange.subscribe(question.request_id, question.info) as follower:
            earlier_id = await self._claim(question)
            if earlier_id is None:
                await self._accept(question, span)
                with self._presence.attending(
                    question.request_id, question.info, follower, Connection(FIRST, question.grace_ms)
                ):
                    yield Attended(question.request_id, question.info, follower)
        if earlier_id is not None:
            await self._ensure_asked(earlier_id, question, span)
            async with self.attach(earlier_id, question.info, question.grace_ms) as attended:
                yield attended

    async def find(self, request_id: str, tenant: str) -> RequestInfo:
        """Return what was asked in a request of this tenant. Raises ApiError 404, 429, 503."""
        info = await self._recalls.find(request_id)
        if info is None or info.tenant != tenant:
            raise errors.no_such_request()
        return info

    @asynccontextmanager
    async def observe(self, request_id: str, info: RequestInfo) -> AsyncIterator[Attended]:
        """Follow an earlier request without counting as a client of it."""
        async with self._recalls.resume(request_id, info) as follower:
            with self._exchange.limited(request_id, SLACK_MS):
                yield Attended(request_id, info, follower)

    @asynccontextmanager
    async def attach(self, request_id: str, info: RequestInfo, grace_ms: int) -> AsyncIterator[Attended]:
        """Follow an earlier request as one more of its clients."""
        async with self.observe(request_id, info) as attended:
            connection = self._presence.another(grace_ms)
            with self._presence.attending(request_id, info, attended.follower, connection):
                yield attended

    async def _claim(self, question: Question) -> str | None:
        """Claim the question's key. Return the earlier request it stands for, None: it is a new one.

        A key whose request never came into the log, long ago, stands for the new one from now on.
        """
        if question.key is None:
            return None
        mine = question.claim
        try:
            held = await self._keys.claim(question.tenant, question.key, mine)
            if held == mine:
                await self._refuse_resuming(question)
                return None
            if held.fingerprint != mine.fingerprint:
                raise errors.key_reused()
            if await self._can_join(held.request_id):
                return held.request_id
            if not await self._keys.replace(
                question.tenant, question.key, held.request_id, question.request_id
            ):
                raise errors.not_accepted()  # somebody else has just replaced it: to be tried again
        except AccountsAway as error:
            raise errors.not_ready([f"accounts: {error}"]) from error
        await self._refuse_resuming(question)
        return None

    async def _can_join(self, request_id: str) -> bool:
        """Return whether the request is in the log, or young enough to be written there under its id."""
        age_ms = self._exchange.age_ms(request_id)
        return age_ms < SLACK_MS or await self._recalls.find(request_id) is not None

    async def _refuse_resuming(self, question: Question) -> None:
        """Never let the end of a new answer follow the beginning of an earlier one that is not known here."""
        if question.resumes:
            await self._release(question)
            raise errors.no_such_request()

    async def _accept(self, question: Question, span: Span) -> None:
        try:
            await self._exchange.send(question.request_id, question.tenant, question.sent, span)
        except ApiError as error:
            self._exchange.withdraw(question.request_id, error)
            # What was not confirmed may still arrive: the key then goes on standing for this request, and a
            # retry writes it again under the same id.
            if error.code != errors.NOT_ACCEPTED:
                await self._release(question)
            raise

    async def _ensure_asked(self, request_id: str, question: Question, span: Span) -> None:
        """Write the question if the gateway that claimed the key did not live to do so."""
        if await self._recalls.find(request_id) is None:
            log.info("question_written_for_another_gateway", request_id=request_id)
            await self._exchange.send(request_id, question.tenant, question.sent, span)

    async def _release(self, question: Question) -> None:
        if question.key is None:
            return
        try:
            await self._keys.release(question.tenant, question.key, question.request_id)
        except AccountsAway as error:
            # The next one with this key finds no such request in the log, and writes it then.
            log.warning("key_not_released", request_id=question.request_id, reason=str(error))

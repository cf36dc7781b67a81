"""A question and its key, without HTTP: which request it becomes or joins. The test sets the clock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.trace import INVALID_SPAN
from structlog.testing import capture_logs

from penstock.gateway.core import Core
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.domain.request_info import RequestInfo
from penstock.gateway.ports import AccountsAway, Claim
from penstock.gateway.readback import SLACK_MS
from penstock.gateway.request_intake import Attended, Question
from penstock.gateway.settings import Settings
from penstock.messages import ids
from penstock.messages.chat import AnswersFrom, ChatRequested, ClientLeft, Message, Sampling
from penstock.messages.topics import CHAT_CANCELLATIONS, CHAT_REQUESTS
from penstock.streaming import records
from penstock.streaming.ports import BrokerError, RecordTooLarge
from penstock.telemetry.readiness import Readiness

HOUR_MS = 3_600_000


class Keys:
    """Port: IdempotencyKeys. While `away`, the database does not answer; `late` lets others be first."""

    def __init__(self) -> None:
        self.claims: dict[tuple[str, str], Claim] = {}
        self.away = False
        self.late = False

    async def claim(self, tenant: str, key: str, mine: Claim) -> Claim:
        self._check()
        return Claim(*self.claims.setdefault((tenant, key), mine))  # as a row that was read

    async def replace(self, tenant: str, key: str, old_id: str, new_id: str) -> bool:
        self._check()
        held = self.claims[tenant, key]
        if self.late or held.request_id != old_id:
            return False
        self.claims[tenant, key] = held._replace(request_id=new_id)
        return True

    async def release(self, tenant: str, key: str, request_id: str) -> None:
        self._check()
        if self.claims[tenant, key].request_id == request_id:
            del self.claims[tenant, key]

    async def forget_old(self) -> int:
        return 0

    def _check(self) -> None:
        if self.away:
            raise AccountsAway("no answer")


class Desk:
    """The core of a gateway; its clock stands still."""

    def __init__(self, log: Any) -> None:
        self.now_ms = 1_800_000_000_000
        self.log = log
        self.keys = Keys()
        log.broker.now_ms = self._clock_ms
        self.readiness = Readiness("kafka", "topics")
        self.core = Core(Settings(instance="a"), log, self.keys, self.readiness, self._clock_ms)

    @property
    def questions(self) -> list[str]:
        """The requests in the log, by id."""
        return [(record.key or b"").decode() for record in self.log.broker.log(CHAT_REQUESTS.name)]

    def question(self, text: str = "?", key: str | None = "k", **more: Any) -> Question:
        content = ChatRequested(
            model="m", messages=(Message(role="user", content=text),), sampling=Sampling()
        )
        return Question(self.core.exchange.new_id(), "acme", content, key, **more)

    def id_of(self, age_ms: int) -> str:
        """Return the id of a request that this gateway took so long ago."""
        return ids.new_request_id(self.core.home._partition, self.now_ms - age_ms)

    async def ask(self, question: Question) -> Attended:
        """Ask, and leave at once."""
        async with asyncio.timeout(10), self.core.intake.submit(question, INVALID_SPAN) as attended:
            return attended

    async def refused(self, question: Question) -> tuple[int, str]:
        with pytest.raises(ApiError) as error:
            await self.ask(question)
        return error.value.status, error.value.code

    def _clock_ms(self) -> int:
        return self.now_ms


@asynccontextmanager
async def running(desk: Desk) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        background = desk.core.start(tasks)
        async with asyncio.timeout(10):
            while not desk.readiness.is_ready:  # noqa: ASYNC110  # nobody tells when it comes true
                await asyncio.sleep(0.001)
        yield
        for task in background:
            task.cancel()
    await desk.core.close()


@pytest.fixture
async def desk(kit: Any) -> AsyncIterator[Desk]:
    desk = Desk(kit.log())
    async with running(desk):
        yield desk


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_new_question_comes_into_the_log_and_is_followed(desk: Desk, key: str | None) -> None:
    question = desk.question(key=key)
    async with desk.core.intake.submit(question, INVALID_SPAN) as attended:
        assert desk.questions == [question.request_id]
        assert (attended.request_id, attended.info) == (question.request_id, RequestInfo("acme", "m", False))
        assert question.request_id in desk.core.following
    assert question.request_id not in desk.core.following
    assert desk.keys.claims == ({} if key is None else {("acme", "k"): question.claim})


@pytest.mark.parametrize("rule", [None, "quote"])
async def test_what_an_answer_rests_on_goes_into_the_log_and_not_into_the_claim(
    desk: Desk, rule: AnswersFrom | None
) -> None:
    question = desk.question(answers=rule)
    await desk.ask(question)
    [record] = desk.log.broker.log(CHAT_REQUESTS.name)
    event = records.decode(record, CHAT_REQUESTS).event
    assert isinstance(event, ChatRequested)
    assert event.answers == (rule or question.content.answers)
    assert question.claim == desk.question()._replace(request_id=question.request_id).claim


async def test_a_client_that_leaves_is_waited_for_ten_seconds(desk: Desk) -> None:
    question = desk.question()
    await desk.ask(question)
    told = [
        records.decode(record, CHAT_CANCELLATIONS).event
        for record in desk.log.broker.log(CHAT_CANCELLATIONS.name)
    ]
    assert told == [ClientLeft(connection="first", grace_ms=10_000)]


@pytest.mark.parametrize("later_ms", [0, 1, HOUR_MS])
async def test_the_same_key_gives_the_same_request_whenever_it_comes(desk: Desk, later_ms: int) -> None:
    first = desk.question()
    await desk.ask(first)
    desk.now_ms += later_ms
    attended = await desk.ask(desk.question(resumes=True))
    assert (attended.request_id, attended.info) == (first.request_id, first.info)
    assert desk.questions == [first.request_id]


@pytest.mark.parametrize("age_ms", [-1_000, 1_000])
async def test_a_claimed_request_is_joined_whichever_of_both_ids_is_larger(desk: Desk, age_ms: int) -> None:
    """The other gateway's clock may be ahead. It died before the log: the question is asked for it."""
    question, earlier_id = desk.question(), desk.id_of(age_ms)
    desk.keys.claims["acme", "k"] = Claim(earlier_id, question.claim.fingerprint)
    with capture_logs() as logs:
        assert (await desk.ask(question)).request_id == earlier_id
    assert desk.questions == [earlier_id]
    assert {"question_written_for_another_gateway"} <= {one["event"] for one in logs}


@pytest.mark.parametrize(("age_ms", "joined"), [(SLACK_MS - 1, True), (SLACK_MS, False), (HOUR_MS, False)])
async def test_a_request_that_never_came_into_the_log_is_joined_while_its_answer_would_be_found(
    desk: Desk, age_ms: int, joined: bool
) -> None:
    question, lost_id = desk.question(), desk.id_of(age_ms)
    desk.keys.claims["acme", "k"] = Claim(lost_id, question.claim.fingerprint)
    asked_id = lost_id if joined else question.request_id
    assert (await desk.ask(question)).request_id == asked_id
    assert desk.questions == [asked_id]
    assert desk.keys.claims["acme", "k"].request_id == asked_id


async def test_of_two_that_replace_a_lost_request_one_is_to_come_again(desk: Desk) -> None:
    question = desk.question()
    desk.keys.claims["acme", "k"] = Claim(desk.id_of(HOUR_MS), question.claim.fingerprint)
    desk.keys.late = True
    assert await desk.refused(question) == (503, "not_accepted")
    assert desk.questions == []


@pytest.mark.parametrize("fingerprint", ["0" * 64, "f" * 64])
async def test_a_key_that_stands_for_another_question_is_refused(desk: Desk, fingerprint: str) -> None:
    desk.keys.claims["acme", "k"] = Claim(desk.id_of(1_000), fingerprint)
    assert await desk.refused(desk.question()) == (422, "idempotency_key_reused")
    assert desk.questions == []


@pytest.mark.parametrize("lost", [False, True])
async def test_no_new_answer_follows_an_earlier_beginning(desk: Desk, lost: bool) -> None:
    question = desk.question(resumes=True)
    if lost:
        desk.keys.claims["acme", "k"] = Claim(desk.id_of(HOUR_MS), question.claim.fingerprint)
    assert await desk.refused(question) == (404, "request_not_found")
    assert (desk.questions, desk.keys.claims) == ([], {})


async def test_without_the_accounts_no_key_can_be_claimed(desk: Desk) -> None:
    desk.keys.away = True
    assert await desk.refused(desk.question()) == (503, "not_ready")
    assert desk.questions == []
    await desk.ask(desk.question(key=None))
    assert len(desk.questions) == 1


@pytest.mark.parametrize(
    ("failing", "told", "kept"),
    [
        (BrokerError("disk full"), (503, "not_accepted"), True),  # it may still arrive
        (RecordTooLarge("5 MB"), (413, "request_too_large"), False),
        (None, (503, "not_ready"), False),
    ],
)
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_question_that_is_not_accepted_keeps_its_key_only_if_it_may_still_arrive(
    desk: Desk, failing: BrokerError | None, told: tuple[int, str], kept: bool, key: str | None
) -> None:
    question = desk.question(key=key)
    if failing is None:
        desk.core.exchange.producer = None  # not connected
    desk.log.broker.failing = failing
    assert await desk.refused(question) == told
    assert desk.keys.claims == ({("acme", "k"): question.claim} if kept and key is not None else {})


@pytest.mark.parametrize("code", ["busy", "overloaded"])
async def test_a_question_that_was_refused_for_any_other_reason_may_come_again_changed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    async def refuse(*_: object) -> None:
        raise ApiError(429, code, "Too much at once.")

    with monkeypatch.context() as patched:
        patched.setattr(desk.core.exchange, "send", refuse)
        assert await desk.refused(desk.question()) == (429, code)
    changed = desk.question("another")
    assert (await desk.ask(changed)).request_id == changed.request_id


async def test_a_key_that_cannot_be_released_does_not_hide_why(desk: Desk) -> None:
    """The next one with this key finds no such request in the log, and writes it then."""
    refused, again = desk.question(), desk.question()
    desk.log.broker.failing = RecordTooLarge("5 MB")
    claim = desk.keys.claim

    async def claim_then_away(tenant: str, key: str, mine: Claim) -> Claim:
        held = await claim(tenant, key, mine)
        desk.keys.away = True
        return held

    desk.keys.claim = claim_then_away  # type: ignore[method-assign]
    with capture_logs() as logs:
        assert await desk.refused(refused) == (413, "request_too_large")
    assert {"key_not_released"} <= {one["event"] for one in logs}
    desk.log.broker.failing, desk.keys.away = None, False
    assert (await desk.ask(again)).request_id == refused.request_id
    assert desk.questions == [refused.request_id]


@pytest.mark.parametrize("tenant", ["aaaa", "zzzz"])
async def test_only_its_own_tenant_finds_a_request(desk: Desk, tenant: str) -> None:
    question = desk.question()
    await desk.ask(question)
    assert await desk.core.intake.find(question.request_id, "acme") == question.info
    for request_id, of in ((question.request_id, tenant), (desk.id_of(0), "acme")):
        with pytest.raises(ApiError) as error:
            await desk.core.intake.find(request_id, of)
        assert (error.value.status, error.value.code) == (404, "request_not_found")


async def test_a_look_at_a_request_follows_it_without_counting_as_a_client(desk: Desk) -> None:
    question = desk.question(grace_ms=1)
    await desk.ask(question)
    told = len(desk.log.broker.log(CHAT_CANCELLATIONS.name))
    async with desk.core.intake.observe(question.request_id, question.info) as attended:
        assert (attended.request_id, attended.info) == (question.request_id, question.info)
        assert question.request_id in desk.core.following
    assert len(desk.log.broker.log(CHAT_CANCELLATIONS.name)) == told
    async with desk.core.intake.attach(question.request_id, question.info, 5) as attended:
        assert attended.request_id == question.request_id
    assert len(desk.log.broker.log(CHAT_CANCELLATIONS.name)) == told + 2

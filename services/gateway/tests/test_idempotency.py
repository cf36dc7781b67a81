"""Idempotency keys: one request a key, whoever asks again, when, and at which gateway."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from penstock.database.database import Database
from penstock.gateway.adapters.idempotency import SqlIdempotencyKeys
from penstock.gateway.adapters.tables import SCHEMA
from penstock.gateway.domain.caller import Caller
from penstock.gateway.domain.chat_request import parse, question_of
from penstock.gateway.domain.request_info import fingerprint
from penstock.gateway.policies import Policies
from penstock.gateway.ports import AccountsAway, Claim
from penstock.messages import codec, ids
from penstock.messages.chat import AnswersFrom, AnswerStarted, AnswerText, ClientJoined, RequestFailed
from penstock.messages.topics import CHAT_REQUESTS
from penstock.streaming.ports import BrokerError, RecordTooLarge


def keyed(key: str = "k", **more: str) -> dict[str, str]:
    return {"idempotency-key": key, **{name.replace("_", "-"): value for name, value in more.items()}}


def questions(stand: Any) -> int:
    return len(stand.source.broker.log(CHAT_REQUESTS.name))


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize("here", [True, False])
async def test_the_same_key_gives_the_same_answer(pair: Any, kit: Any, here: bool) -> None:
    first, second = pair
    asking = asyncio.create_task(first.ask(headers=keyed()))
    cause = await first.answer("once", " only")
    one = await asking
    again = await (first if here else second).ask(headers=keyed())
    assert (again.status_code, again.content) == (200, one.content)
    assert again.headers["x-request-id"] == cause.subject
    assert questions(first) == 1
    other = await second.ask(kit.body(max_tokens=5), headers=keyed())
    assert code(other) == (422, "idempotency_key_reused")


async def test_how_an_answer_is_shown_does_not_belong_to_the_request(pair: Any, kit: Any) -> None:
    first, second = pair
    asking = asyncio.create_task(first.ask(headers=keyed()))
    await first.answer("once")
    await asking
    body = kit.body(stream=True, stream_options={"include_usage": True}, user="u", n=1)
    events = kit.sse((await second.ask(body, headers=keyed())).text)
    assert [event.id for event in events] == [0, 4, 5, 6, 7]
    resumed = await second.ask(body, headers=keyed(last_event_id="2"))
    assert [event.id for event in kit.sse(resumed.text)] == [4, 5, 6, 7]
    assert questions(first) == 1


@pytest.mark.parametrize("here", [True, False])
async def test_a_running_request_is_joined(pair: Any, kit: Any, here: bool) -> None:
    first, second = pair
    asking = asyncio.create_task(first.ask(kit.body(stream=True), headers=keyed()))
    cause = (await first.question()).envelope
    await first.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text="one "))
    joined = first if here else second
    again = asyncio.create_task(joined.ask(kit.body(stream=True), headers=keyed(last_event_id="2")))
    await first.until(lambda: any(isinstance(e, ClientJoined) for e in first.cancellations(cause.subject)))
    await first.say(cause, AnswerText(start=4, text="two"), kit.completed(7))
    assert kit.sse((await asking).text)[-1].data == "[DONE]"
    events = kit.sse((await again).text)
    assert "".join(event.text for event in events) == "e two"
    assert [event.id for event in events[-3:]] == [7, 8, 10]
    assert questions(first) == 1


async def test_many_at_once_with_one_key_ask_once(pair: Any) -> None:
    asking = [asyncio.create_task(pair[n % 2].ask(headers=keyed())) for n in range(10)]
    cause = await pair[0].answer("for all")
    responses = await asyncio.gather(*asking)
    assert {response.content for response in responses} == {responses[0].content}
    assert {response.headers["x-request-id"] for response in responses} == {cause.subject}
    # Written again under the same id it is the same request: generation takes the first.
    assert {r.key for r in pair[0].source.broker.log(CHAT_REQUESTS.name)} == {cause.subject.encode()}


async def test_keys_belong_to_their_tenant(stand: Any, monkeypatch: Any) -> None:
    asking = asyncio.create_task(stand.ask(headers=keyed()))
    first = await stand.answer("mine")
    await asking

    async def other_tenant(_key: str) -> Caller:
        return Caller("other")

    monkeypatch.setattr(stand.gateway.service.access, "caller_of", other_tenant)
    asking = asyncio.create_task(stand.ask(headers=keyed()))
    second = await stand.answer("theirs")
    assert (await asking).json()["choices"][0]["message"]["content"] == "theirs"
    assert first.subject != second.subject


async def test_another_key_of_the_tenant_joins(stand: Any) -> None:
    asking = asyncio.create_task(stand.ask(headers=keyed()))
    received = await stand.question()
    assert received.event.api_key == stand.key[:10]
    other = {"authorization": f"Bearer {await stand.new_key('default')}"}
    joining = asyncio.create_task(stand.ask(headers=keyed(**other)))
    await stand.say(received.envelope, *_events("once"))
    first, second = await asking, await joining
    assert (first.status_code, first.content) == (200, second.content)
    assert questions(stand) == 1


def test_who_asks_is_no_part_of_the_fingerprint() -> None:
    body = (
        b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "stop": ["a"]}'
    )
    question = question_of(parse(body), "psk-abcdef")
    # As an installation has it that came from a release in which the log did not say whose key it was.
    later = b',"api_key":"psk-abcdef","answers":"model","may_quote":false'
    before = codec.encode(question).replace(later, b"")
    assert fingerprint(question) == sha256(before).hexdigest()


def test_what_an_answer_rests_on_is_a_part_of_the_fingerprint() -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]%b}'
    more = (b"", b', "answers": "quote"', b', "answers": "documents"', b', "fallback": "quote"')
    assert len({fingerprint(question_of(parse(body % one))) for one in more}) == 4


async def test_a_question_is_the_same_after_its_tenant_has_another_rule(stand: Any) -> None:
    asking = asyncio.create_task(stand.ask(headers=keyed()))
    await stand.answer("once")
    first = await asking
    stand.gateway.service.policies = Policies(quotes_only, "model", time.monotonic)
    assert (await stand.ask(headers=keyed())).content == first.content
    assert questions(stand) == 1


async def quotes_only(_tenant: str, _store: str) -> AnswersFrom | None:
    return "quote"


async def test_a_failed_request_stays_the_same_request(stand: Any) -> None:
    asking = asyncio.create_task(stand.ask(headers=keyed()))
    cause = (await stand.question()).envelope
    await stand.say(cause, RequestFailed(code="broken", message="No.", status=500, stage="x"))
    assert code(await asking) == (500, "broken")
    assert code(await stand.ask(headers=keyed())) == (500, "broken")
    assert questions(stand) == 1


async def test_a_request_that_was_not_confirmed_keeps_its_key_and_its_id(stand: Any, kit: Any) -> None:
    # It may still come into the log: a retry must not make a second request of it.
    stand.source.broker.failing = BrokerError("disk full")
    refused = await stand.ask(headers=keyed())
    assert code(refused) == (503, "not_accepted")
    stand.source.broker.failing = None
    assert code(await stand.ask(kit.body(max_tokens=9), headers=keyed())) == (422, "idempotency_key_reused")
    asking = asyncio.create_task(stand.ask(headers=keyed()))
    await stand.answer("now")
    again = await asking
    assert again.status_code == 200
    assert again.headers["x-request-id"] == refused.headers["x-request-id"]


async def test_a_request_that_is_too_large_for_the_log_releases_its_key(stand: Any, kit: Any) -> None:
    stand.source.broker.failing = RecordTooLarge("too large")
    assert code(await stand.ask(headers=keyed())) == (413, "request_too_large")
    stand.source.broker.failing = None
    asking = asyncio.create_task(stand.ask(kit.body(max_tokens=9), headers=keyed()))
    await stand.answer("now")
    assert (await asking).status_code == 200


async def test_a_gateway_that_died_before_the_log(pair: Any) -> None:
    """It left a row and no question: the next one with the key asks under the same id."""
    first, second = pair
    orphan = ids.new_request_id(first.gateway.core.home._partition, time.time_ns() // 1_000_000 - 20_000)
    await _leave_row(first, orphan)
    asking = asyncio.create_task(second.ask(headers=keyed()))
    asked = await second.question()
    assert asked.envelope.subject == orphan
    assert asked.envelope.reply_partition == ids.reply_partition(orphan)
    assert asked.envelope.deadline_ms > time.time_ns() // 1_000_000 + 110_000
    await second.say(asked.envelope, *_events("from the other home"))
    response = await asking
    assert response.json()["id"] == f"chatcmpl-{orphan}"
    assert response.headers["x-request-id"] == orphan


async def test_a_gateway_that_died_before_the_log_long_ago(pair: Any) -> None:
    """By its id nobody would look for the answer now: the key stands for a new request."""
    first, second = pair
    orphan = ids.new_request_id(1, time.time_ns() // 1_000_000 - 3_600_000)
    await _leave_row(first, orphan)
    asking = asyncio.create_task(second.ask(headers=keyed()))
    cause = await second.answer("anew")
    assert cause.subject != orphan
    one = await asking
    assert (await first.ask(headers=keyed())).content == one.content


async def test_no_new_answer_follows_an_old_beginning(stand: Any, kit: Any) -> None:
    response = await stand.ask(kit.body(stream=True), headers=keyed(last_event_id="5"))
    assert code(response) == (404, "request_not_found")
    assert questions(stand) == 0
    asking = asyncio.create_task(stand.ask(kit.body(stream=True), headers=keyed()))
    await stand.answer("from the beginning")
    assert (await asking).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "\x80"])
async def test_what_is_no_key_is_refused(stand: Any, key: str) -> None:
    response = await stand.ask(headers={"idempotency-key": key.encode("latin-1")})
    assert code(response) == (400, "invalid_value")
    assert response.json()["error"]["param"] == "Idempotency-Key"


@pytest.fixture
async def table(database: Database) -> Any:
    class Table:
        now = datetime(2026, 1, 1, tzinfo=UTC)

    table: Any = Table()
    table.keys = SqlIdempotencyKeys(database, lambda: table.now)
    return table


async def test_keys_live_a_day(table: Any) -> None:
    one, two = Claim("a" * 36, "f"), Claim("b" * 36, "g")
    assert await table.keys.claim("t", "k", one) == one
    table.now += timedelta(hours=23, minutes=59)
    assert await table.keys.claim("t", "k", two) == one
    assert await table.keys.forget_old() == 0
    table.now += timedelta(minutes=2)
    assert await table.keys.claim("t", "k", two) == two
    table.now += timedelta(hours=25)
    assert await table.keys.forget_old() == 1


async def test_keys_are_released_and_replaced_only_by_their_own(table: Any) -> None:
    one, two = Claim("a" * 36, "f"), Claim("b" * 36, "f")
    await table.keys.claim("t", "k", one)
    await table.keys.release("t", "k", two.request_id)
    assert await table.keys.claim("t", "k", two) == one
    assert not await table.keys.replace("t", "k", two.request_id, "c" * 36)
    assert await table.keys.replace("t", "k", one.request_id, two.request_id)
    assert await table.keys.claim("t", "k", one) == two
    await table.keys.release("t", "k", two.request_id)
    assert await table.keys.claim("t", "k", one) == one


async def test_of_many_claims_one_wins(table: Any) -> None:
    claims = [Claim(f"{n:036}", "f") for n in range(20)]
    held = await asyncio.gather(*(table.keys.claim("t", "k", claim) for claim in claims))
    assert len(set(held)) == 1


async def test_claims_that_come_together_share_transactions(database: Database, monkeypatch: Any) -> None:
    """Two gateways claim the same hundred keys at once, some more than once: one wins each."""
    written = 0
    writing = Database.writing

    def counted(self: Database) -> Any:
        nonlocal written
        written += 1
        return writing(self)

    monkeypatch.setattr(Database, "writing", counted)
    gateways = [SqlIdempotencyKeys(database), SqlIdempotencyKeys(database)]
    claims = [(f"k{n % 100}", Claim(f"{n:036}", "f")) for n in range(400)]
    held = await asyncio.gather(*(gateways[n % 2].claim("t", *claim) for n, claim in enumerate(claims)))
    won = {
        key: {result for (k, _), result in zip(claims, held, strict=True) if k == key} for key, _ in claims
    }
    assert len(won) == 100
    assert all(len(results) == 1 for results in won.values())
    assert written <= 8
    assert {await gateways[0].claim("t", "k7", Claim("x" * 36, "f"))} == won["k7"]


async def test_claims_that_fail_say_so_to_all_who_wait(tmp_path: Any) -> None:
    away = Database(f"sqlite:///{tmp_path}/none/accounts.db", SCHEMA, AccountsAway)
    keys = SqlIdempotencyKeys(away)
    claims = (keys.claim("t", f"k{n}", Claim("a" * 36, "f")) for n in range(3))
    results = await asyncio.gather(*claims, return_exceptions=True)
    assert [type(result) for result in results] == [AccountsAway] * 3
    await away.close()


async def _leave_row(stand: Any, request_id: str) -> None:
    body = b'{"model": "tiny/model", "messages": [{"role": "user", "content": "What is a penstock?"}]}'
    claim = Claim(request_id, fingerprint(question_of(parse(body))))
    await stand.gateway.keys.claim("default", "k", claim)


def _events(text: str) -> list[Any]:
    from penstock.messages.chat import AnswerCompleted, Usage

    usage = Usage(prompt_tokens=1, completion_tokens=1)
    end = AnswerCompleted(length=len(text), finish_reason="stop", usage=usage, citations=())
    return [AnswerText(start=0, text=text), end]

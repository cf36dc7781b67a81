"""Answers found again by their ids: whole, from any event on, at a gateway that never saw the question."""

import asyncio
import json
import time
from typing import Any

import pytest

from penstock.gateway.domain.caller import Caller
from penstock.gateway.domain.errors import not_accepted
from penstock.messages import ids
from penstock.messages.chat import (
    AnswerStarted,
    AnswerText,
    CancelRequested,
    RequestCancelled,
    RequestFailed,
    Usage,
)
from penstock.messages.envelope import Envelope


async def asked(stand: Any, kit: Any, *events: Any, **more: Any) -> Envelope:
    """Ask at a gateway, let the log say these events, and leave the client waiting in the background."""
    stand.asking = asyncio.create_task(stand.ask(kit.body(stream=True, **more)))
    cause: Envelope = (await stand.question()).envelope
    await stand.say(cause, *events)
    return cause


def same(one: Any, other: Any, kit: Any) -> bool:
    """Whether two streams show the same answer and end; at which characters text was cut does not count."""
    a, b = (kit.sse(response.text) for response in (one, other))
    texts = ["".join(event.text for event in events) for events in (a, b)]
    return texts[0] == texts[1] and a[0] == b[0] and a[-2:] == b[-2:]


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize("here", [True, False])
async def test_a_finished_answer_is_the_one_the_post_gave(pair: Any, kit: Any, here: bool) -> None:
    first, second = pair
    asking = asyncio.create_task(first.ask())
    cause = await first.answer("Through ", "the log.", citations=(kit.citation,))
    posted = await asking
    for shown in (cause.subject, posted.json()["id"]):
        got = await (first if here else second).get(shown)
        assert (got.status_code, got.content) == (200, posted.content)
        assert got.headers["x-request-id"] == cause.subject


async def test_the_stream_goes_on_at_another_gateway(pair: Any, kit: Any) -> None:
    """Cut after every event of a running answer; the rest comes from the other gateway, partly live."""
    first, second = pair
    cause = await asked(first, kit, AnswerStarted(model=kit.model), AnswerText(start=0, text="one "))
    await first.say(cause, AnswerText(start=4, text="two "))
    running = [
        asyncio.create_task(second.get(cause.subject, f"/stream?starting_after={n}&include_usage=true"))
        for n in (0, 2, 4, 8)
    ]
    by_header = asyncio.create_task(second.get(cause.subject, "/stream", headers={"last-event-id": "4"}))
    await second.until(lambda: cause.subject in second.gateway.core.following)
    await first.say(cause, AnswerText(start=8, text="three"), kit.completed(13))
    original = kit.sse((await first.asking).text)
    assert [event.id for event in original] == [0, 4, 8, 13, 14, 16]
    for n, response in zip((0, 2, 4, 8), await asyncio.gather(*running), strict=True):
        events = kit.sse(response.text)
        assert "".join(event.text for event in events) == "one two three"[n:]
        assert [event.id for event in events][-4:] == [13, 14, 15, 16]
        assert json.loads(events[-2].data)["usage"]["total_tokens"] == 10
    events = kit.sse((await by_header).text)
    assert ("".join(event.text for event in events), events[-2:]) == ("two three", original[-2:])


async def test_a_stream_from_its_beginning_equals_the_first(pair: Any, kit: Any) -> None:
    first, second = pair
    cause = await asked(first, kit, *kit.events("one"))
    assert (await first.asking).content == (await second.get(cause.subject, "/stream")).content


@pytest.mark.parametrize("after", [15, 99])
async def test_a_place_beyond_the_end_is_refused(pair: Any, kit: Any, after: int) -> None:
    cause = await asked(pair[0], kit, *kit.events("0123456789"))
    await pair[0].asking
    assert code(await pair[1].get(cause.subject, f"/stream?starting_after={after}")) == (400, "invalid_value")
    assert (await pair[1].get(cause.subject, "/stream?starting_after=13")).status_code == 204
    assert (await pair[1].get(cause.subject, "/stream?starting_after=12")).text == "id: 13\ndata: [DONE]\n\n"


@pytest.mark.parametrize("place", ["x", "-1", "1.5", "1" * 10])
async def test_a_place_that_is_none_is_refused(pair: Any, kit: Any, place: str) -> None:
    cause = await asked(pair[0], kit, *kit.events("x"))
    await pair[0].asking
    assert code(await pair[0].get(cause.subject, f"/stream?starting_after={place}")) == (400, "invalid_value")


async def test_how_far_a_request_is(pair: Any, kit: Any) -> None:
    first, second = pair
    cause = await asked(first, kit)
    wanted = {
        "id": f"chatcmpl-{cause.subject}",
        "object": "chat.completion.status",
        "created": ids.created_ms(cause.subject) // 1000,
        "model": kit.model,
    }
    for gateway in pair:
        got = await gateway.get(cause.subject)
        assert (got.status_code, got.json()) == (202, {**wanted, "status": "queued", "length": 0})
    await first.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text="half"))
    got = await second.get(cause.subject)
    assert (got.status_code, got.json()) == (202, {**wanted, "status": "in_progress", "length": 4})


async def test_failed_answers_tell_their_error(pair: Any, kit: Any) -> None:
    first, second = pair
    failure = RequestFailed(code="backend_gone", message="Gone.", status=502, stage="generation")
    cause = await asked(first, kit, AnswerText(start=0, text="half"), failure)
    original = kit.sse((await first.asking).text)
    assert code(await second.get(cause.subject)) == (502, "backend_gone")
    assert kit.sse((await second.get(cause.subject, "/stream?starting_after=2")).text)[0].text == "lf"
    assert code(await second.get(cause.subject, "/stream?starting_after=4")) == (502, "backend_gone")
    assert original[-1].id == 5
    assert (await second.get(cause.subject, "/stream?starting_after=5")).status_code == 204


async def test_cancelling(pair: Any, kit: Any) -> None:
    first, second = pair
    cause = await asked(first, kit, AnswerStarted(model=kit.model), AnswerText(start=0, text="half"))
    got = await second.get(cause.subject, "/cancel", method="POST")
    assert (got.status_code, got.json()["status"], got.json()["length"]) == (202, "in_progress", 4)
    assert [e for e in first.cancellations(cause.subject) if isinstance(e, CancelRequested)]
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    await first.say(cause, RequestCancelled(reason="requested", length=4, usage=usage))
    *_, error = kit.sse((await first.asking).text)
    assert (error.id, json.loads(error.data)["error"]["code"]) == (5, "request_cancelled")
    assert code(await second.get(cause.subject)) == (499, "request_cancelled")
    written = len(first.cancelled())
    got = await second.get(cause.subject, "/cancel", method="POST")
    assert (got.status_code, got.json()["status"]) == (200, "cancelled")
    assert len(first.cancelled()) == written


async def test_unknown_and_foreign_ids_look_the_same(pair: Any, kit: Any, monkeypatch: Any) -> None:
    first, second = pair
    cause = await asked(first, kit, *kit.events("secret"))
    await first.asking
    now_ms = time.time_ns() // 1_000_000
    wrong = [
        "nonsense",
        cause.subject[:-1],
        f"chatcmpl-chatcmpl-{cause.subject}",
        cause.subject.upper(),
        ids.new_request_id(1, now_ms),
        ids.new_request_id(4095, now_ms),
        ids.new_request_id(1, now_ms - 8 * 86_400_000),
        ids.new_request_id(1, now_ms + 3_600_000),
    ]
    answers = []
    for request_id in wrong:
        for method, rest in (("GET", ""), ("GET", "/stream"), ("POST", "/cancel")):
            response = await second.get(request_id, rest, method=method)
            answers.append((response.status_code, response.content))

    async def other_tenant(_key: str) -> Caller:
        return Caller("other")

    for gateway in pair:
        monkeypatch.setattr(gateway.gateway.service.access, "caller_of", other_tenant)
        for method, rest in (("GET", ""), ("GET", "/stream"), ("POST", "/cancel")):
            response = await gateway.get(cause.subject, rest, method=method)
            answers.append((response.status_code, response.content))
    assert len(set(answers)) == 1
    assert answers[0][0] == 404
    assert json.loads(answers[0][1])["error"]["code"] == "request_not_found"
    assert first.cancelled() == []


@pytest.mark.parametrize("skew_ms", [-300_000, 300_000])
async def test_clocks_may_be_five_minutes_apart(pair: Any, kit: Any, skew_ms: int) -> None:
    """The records of the answer are stamped by another clock than the one that made the id."""
    first, second = pair
    first.source.broker.now_ms = lambda: time.time_ns() // 1_000_000 + skew_ms
    cause = await asked(first, kit, *kit.events("across ", "clocks"))
    original = await first.asking
    assert same(await second.get(cause.subject, "/stream"), original, kit)
    # And at a gateway whose own clock is off.
    second.gateway.core.recalls._now_ms = lambda: time.time_ns() // 1_000_000 + skew_ms
    assert same(await second.get(cause.subject, "/stream"), original, kit)


async def test_a_late_look_that_finds_the_middle_only_looks_again(pair: Any, kit: Any) -> None:
    """Half of the answer was stamped by a slow clock: the near look finds text without its beginning."""
    first, second = pair
    real = time.time_ns() // 1_000_000
    first.source.broker.now_ms = lambda: real - 240_000
    cause = await asked(first, kit, AnswerStarted(model=kit.model), AnswerText(start=0, text="first "))
    first.source.broker.now_ms = lambda: real
    await first.say(cause, AnswerText(start=6, text="second"), kit.completed(12))
    original = await first.asking
    assert same(await second.get(cause.subject, "/stream"), original, kit)


async def test_live_and_history_leave_no_gap(pair: Any, kit: Any) -> None:
    """Text pours in while others join at random moments: each sees all of it once."""
    first, second = pair
    cause = await asked(first, kit, AnswerStarted(model=kit.model))
    resumed = []
    text = "".join(chr(ord("a") + n % 26) for n in range(200))
    for n, letter in enumerate(text):
        await first.say(cause, AnswerText(start=n, text=letter))
        if n % 20 == 0:
            resumed.append(asyncio.create_task(second.get(cause.subject, "/stream")))
        await asyncio.sleep(0.001)
    await first.say(cause, kit.completed(200))
    for response in await asyncio.gather(*resumed):
        assert "".join(event.text for event in kit.sse(response.text)) == text
    assert "[DONE]" in (await first.asking).text


async def test_an_answer_that_was_lost_is_said_to_be(pair: Any) -> None:
    """No end in the log, long past its deadline: nobody is kept waiting."""
    first, second = pair
    long_ago = time.time_ns() // 1_000_000 - 3_600_000
    first.source.broker.now_ms = lambda: long_ago
    request_id = ids.new_request_id(first.gateway.core.home._partition, long_ago)
    first.gateway.core.exchange.new_id = lambda: request_id
    asking = asyncio.create_task(first.ask())
    cause = (await first.question()).envelope
    await first.say(cause, AnswerText(start=0, text="half"))
    for rest in ("", "/stream?starting_after=4"):
        assert code(await second.get(request_id, rest)) == (504, "timeout")
    assert code(await asking) == (504, "timeout")


async def test_an_end_that_only_this_gateway_made_is_not_shown_to_others(pair: Any, kit: Any) -> None:
    """What was withdrawn or given up here may go on in the log: the next client gets what the log says."""
    first, _ = pair
    cause = await asked(first, kit, AnswerStarted(model=kit.model), AnswerText(start=0, text="half "))
    first.gateway.core.following.fail(cause.subject, not_accepted())
    assert "half " in (await first.asking).text
    again = asyncio.create_task(first.get(cause.subject, "/stream"))
    await first.until(lambda: first.gateway.core.following.usable(cause.subject))
    await first.say(cause, AnswerText(start=5, text="done"), kit.completed(9))
    assert "".join(event.text for event in kit.sse((await again).text)) == "half done"

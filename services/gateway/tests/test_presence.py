"""Clients that come and go, told to the log: who has left, who reads again, and for how long to wait."""

import asyncio
from typing import Any

import pytest

from penstock.messages.chat import AnswerStarted, AnswerText, ChatRequested, ClientJoined, ClientLeft
from penstock.streaming.ports import BrokerError


async def left(stand: Any, kit: Any, head: str = "", **more: Any) -> Any:
    """Ask, hang up amid the answer, and return the cause."""
    async with stand.raw(kit.body(stream=True, **more), head) as (reader, _):
        asked = await stand.question()
        await stand.say(asked.envelope, AnswerStarted(model=kit.model), AnswerText(start=0, text="half"))
        await reader.readuntil(b"half")
    await stand.until(lambda: len(stand.gateway.core.following) == 0)
    return asked


@pytest.mark.parametrize(
    ("head", "grace_ms"),
    [("", 10_000), ("x-disconnect-grace: 2.5\r\n", 2500), ("x-disconnect-grace: 0\r\n", 0)],
)
async def test_a_client_that_leaves_is_told(stand: Any, kit: Any, head: str, grace_ms: int) -> None:
    asked = await left(stand, kit, head)
    gone = stand.cancellations(asked.envelope.subject)
    assert gone == [ClientLeft(connection="first", grace_ms=grace_ms)]


async def test_the_grace_is_a_setting(start_stand: Any, kit: Any) -> None:
    stand = await start_stand(disconnect_grace_s=3)
    asked = await left(stand, kit)
    gone = stand.cancellations(asked.envelope.subject)
    assert gone == [ClientLeft(connection="first", grace_ms=3000)]


@pytest.mark.parametrize("grace", ["", "-1", "3601", "nan", "1e3", "1 s"])
async def test_a_grace_that_is_none_is_refused(stand: Any, grace: str) -> None:
    response = await stand.ask(headers={"x-disconnect-grace": grace})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "X-Disconnect-Grace"


async def test_a_request_in_the_background_goes_on(stand: Any, kit: Any) -> None:
    asked = await left(stand, kit, background=True)
    assert isinstance(asked.event, ChatRequested)
    assert asked.event.background
    assert stand.cancelled() == []
    resuming = asyncio.create_task(stand.get(asked.envelope.subject, "/stream"))
    await stand.until(lambda: len(stand.gateway.core.following) == 1)
    await stand.say(asked.envelope, kit.completed(4))
    assert kit.sse((await resuming).text)[-1].data == "[DONE]"
    assert stand.cancelled() == []
    asking = asyncio.create_task(stand.ask(kit.body(background=True)))
    await stand.answer("still waited for")
    assert (await asking).json()["choices"][0]["message"]["content"] == "still waited for"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_stays_is_not_told(stand: Any, kit: Any, stream: bool) -> None:
    asking = asyncio.create_task(stand.ask(kit.body(stream=stream)))
    await stand.answer("whole")
    await asking
    assert stand.cancelled() == []


async def test_others_have_names_of_their_own(pair: Any, kit: Any) -> None:
    first, second = pair
    asked = await left(first, kit)
    request_id = asked.envelope.subject
    for gateway in (second, first):
        resuming = asyncio.create_task(
            gateway.get(request_id, "/stream", headers={"x-disconnect-grace": "1"})
        )
        known = len(first.cancellations(request_id))
        await first.until(lambda known=known: len(first.cancellations(request_id)) > known)
        resuming.cancel()
        await gateway.until(lambda gateway=gateway: len(gateway.gateway.core.following) == 0)
        await first.until(lambda known=known: len(first.cancellations(request_id)) == known + 2)
    told = first.cancellations(request_id)
    assert [type(event) for event in told] == [ClientLeft, ClientJoined, ClientLeft, ClientJoined, ClientLeft]
    names = [event.connection for event in told]
    assert names[0] == "first"
    assert names[1] == names[2] != names[3] == names[4]
    assert [event.grace_ms for event in told if isinstance(event, ClientLeft)] == [10_000, 1000, 1000]


async def test_a_look_at_a_request_is_no_client(stand: Any, kit: Any) -> None:
    asked = await left(stand, kit)
    assert (await stand.get(asked.envelope.subject)).status_code == 202
    assert len(stand.cancelled()) == 1


async def test_a_log_that_takes_nothing_harms_no_response(stand: Any, kit: Any) -> None:
    asked = await left(stand, kit)
    stand.source.broker.failing = BrokerError("disk full")
    resuming = asyncio.create_task(stand.get(asked.envelope.subject, "/stream"))
    await stand.until(lambda: len(stand.gateway.core.following) == 1)
    response = await stand.get(asked.envelope.subject, "/cancel", method="POST")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "not_accepted")
    stand.source.broker.failing = None
    await stand.say(asked.envelope, kit.completed(4))
    assert kit.sse((await resuming).text)[-1].data == "[DONE]"


async def test_a_gateway_that_stops_lets_its_clients_go_on_elsewhere(pair: Any, kit: Any) -> None:
    first, second = pair
    asking = asyncio.create_task(first.ask(kit.body(stream=True)))
    cause = (await first.question()).envelope
    await first.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text="half"))
    first.stop.set()
    *_, text, end = kit.sse((await asking).text)
    assert (text.id, end.id) == (4, None)
    assert "shutting_down" in end.data
    resuming = asyncio.create_task(second.get(cause.subject, f"/stream?starting_after={text.id}"))
    await second.until(lambda: len(second.gateway.core.following) == 1)
    await second.say(cause, AnswerText(start=4, text=" and half"), kit.completed(13))
    events = kit.sse((await resuming).text)
    assert "".join(event.text for event in events) == " and half"
    assert ClientLeft(connection="first", grace_ms=10_000) in first.cancellations(cause.subject)

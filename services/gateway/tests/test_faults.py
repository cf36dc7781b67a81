"""The log away, slow clients, clients that leave, answers that never come, and the end of the process."""

import asyncio
import json
import socket
from typing import Any

import openai
import pytest

from penstock.messages.chat import AnswerStarted, AnswerText
from penstock.messages.topics import CHAT_RESPONSES
from penstock.streaming.ports import BrokerError


async def readyz(stand: Any) -> tuple[int, list[str]]:
    response = await stand.client.get(f"{stand.url}/readyz")
    return response.status_code, response.json()["waiting_for"]


async def test_starts_before_kafka_and_says_so(start_stand: Any, kit: Any) -> None:
    log = kit.log()
    log.away = True
    stand = await start_stand(log, ready=False)
    await stand.until(lambda: "kafka: no broker answers" in stand.gateway.readiness.waiting_for)
    await stand.until(lambda: not any("accounts" in w for w in stand.gateway.readiness.waiting_for))
    assert (await stand.client.get(f"{stand.url}/livez")).status_code == 200
    status, waiting_for = await readyz(stand)
    assert status == 503
    assert "kafka: no broker answers" in waiting_for
    response = await stand.ask()
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_ready"
    assert "kafka: no broker answers" in response.json()["error"]["message"]
    assert int(response.headers["retry-after"]) > 0

    log.missing = ["chat.requests"]
    log.away = False
    await stand.until(lambda: any("chat.requests" in w for w in stand.gateway.readiness.waiting_for))
    assert (await readyz(stand))[1] == ["topics: not there, or this user may not see them: chat.requests"]
    log.missing = []
    await stand.until(lambda: stand.gateway.readiness.is_ready)
    asking = asyncio.create_task(stand.ask())
    await stand.answer("here")
    assert (await asking).status_code == 200


async def test_an_answer_survives_the_log_being_away(stand: Any, kit: Any) -> None:
    async with stand.raw(kit.body(stream=True)) as (reader, _):
        cause = (await stand.question()).envelope
        await stand.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text="before"))
        await reader.readuntil(b'"content":"before"')
        stand.source.away = True
        await stand.until(lambda: not stand.gateway.readiness.is_ready)
        assert (await stand.ask()).status_code == 503
        await stand.say(cause, AnswerText(start=6, text=" and after"), kit.completed(16))
        stand.source.away = False
        await reader.readuntil(b'"content":" and after"')
        await reader.readuntil(b"data: [DONE]\n\n")


async def test_a_question_the_log_refuses_was_not_accepted(stand: Any) -> None:
    stand.source.broker.failing = BrokerError("disk full")
    response = await stand.ask()
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_accepted"
    assert int(response.headers["retry-after"]) > 0
    assert len(stand.gateway.core.following) == 0


async def test_a_question_the_log_does_not_confirm_was_not_accepted(start_stand: Any) -> None:
    stand = await start_stand(ack_timeout_s=0.05)

    class Silent:
        async def room(self) -> None:
            return

        def send(self, *_: object) -> asyncio.Future[None]:
            return asyncio.get_running_loop().create_future()

    stand.gateway.core.exchange.producer = Silent()
    response = await stand.ask()
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_accepted"


async def test_bytes_that_are_no_event_harm_nobody(stand: Any, kit: Any) -> None:
    asking = asyncio.create_task(stand.ask())
    cause = (await stand.question()).envelope
    home, producer = cause.reply_partition, stand.source.broker.producer()
    for key in (cause.subject.encode(), b"\xff", b"", None):
        for value in (b"\x00\xff", b"{}", None):
            await producer.send(CHAT_RESPONSES.name, key, value, [("ce_type", b"\xff")], home)
    await stand.say(cause, *kit.events("still here"))
    assert (await asking).json()["choices"][0]["message"]["content"] == "still here"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_never_comes(start_stand: Any, kit: Any, stream: bool) -> None:
    stand = await start_stand(request_timeout_s=0.1, request_grace_s=0.05)
    response = await stand.ask(kit.body(stream=stream))
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "timeout"
    assert len(stand.gateway.core.following) == 0


async def test_an_answer_that_stops_halfway(start_stand: Any, kit: Any) -> None:
    stand = await start_stand(request_timeout_s=2, request_grace_s=0.05)
    asking = asyncio.create_task(stand.ask(kit.body(stream=True)))
    cause = (await stand.question()).envelope
    await stand.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text="half"))
    *_, text, error = kit.sse((await asking).text)
    assert (text.id, text.text) == (4, "half")
    assert json.loads(error.data)["error"]["code"] == "timeout"
    assert error.id is None  # it is this gateway's word only: whoever resumes must not step over it


async def test_silence_is_filled_with_comments(start_stand: Any, kit: Any) -> None:
    stand = await start_stand(keep_alive_s=0.05)
    async with stand.raw(kit.body(stream=True)) as (reader, _):
        cause = (await stand.question()).envelope
        head = await reader.readuntil(b": keep-alive\n")  # while it waits in the queue
        assert head.startswith(b"HTTP/1.1 200")
        await stand.say(cause, AnswerStarted(model=kit.model))
        await reader.readuntil(b'"role":"assistant"')
        await reader.readuntil(b"\n\n\r\n")
        for _ in range(2):
            assert await reader.readuntil(b": keep-alive\n\r\n") == b"d\r\n: keep-alive\n\r\n"
        await stand.say(cause, AnswerText(start=0, text="x"), kit.completed(1))
        await reader.readuntil(b"data: [DONE]\n\n")


async def test_openais_package_reads_on_after_a_silence(start_stand: Any, kit: Any) -> None:
    """Of a blank line after an event with an id it makes an event of its own, without data."""
    stand = await start_stand(keep_alive_s=0.05)

    async def answer() -> None:
        cause = (await stand.question()).envelope
        await asyncio.sleep(0.2)
        for event in (AnswerText(start=0, text="one "), AnswerText(start=4, text="two"), kit.completed(7)):
            await stand.say(cause, event)
            await asyncio.sleep(0.2)

    answering = asyncio.create_task(answer())
    async with openai.AsyncOpenAI(base_url=f"{stand.url}/v1", api_key=stand.key, max_retries=0) as api:
        stream = await api.chat.completions.create(
            model=kit.model, messages=[{"role": "user", "content": "hi"}], stream=True
        )
        texts = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
    assert "".join(texts) == "one two"
    await answering


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_client_that_leaves_frees_everything(stand: Any, kit: Any, stream: bool, begun: bool) -> None:
    async with stand.raw(kit.body(stream=stream)) as (reader, _):
        cause = (await stand.question()).envelope
        if begun:
            await stand.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text="half"))
            if stream:
                await reader.readuntil(b"half")
        assert cause.subject in stand.gateway.core.following
    await stand.until(lambda: len(stand.gateway.core.following) == 0)
    await stand.until(lambda: stand.gateway.service.open_requests.used == 0)
    await stand.say(cause, AnswerText(start=4, text="nobody listens"))


async def test_a_slow_client_holds_up_nobody_and_reads_all(stand: Any, kit: Any) -> None:
    """The answer is longer than all buffers between; the slow client gets it whole once it reads."""
    piece, count = "0123456789" * 100, 250
    stand.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # connections inherit it
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", stand.port))
    content = json.dumps(kit.body(stream=True)).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {stand.key}\r\n"
        f"connection: close\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    await asyncio.get_running_loop().sock_sendall(connection, head.encode() + content)
    slow = (await stand.question()).envelope

    quick_asking = asyncio.create_task(stand.ask(kit.body(stream=True)))
    quick = (await stand.question()).envelope
    for number in range(count):
        text = AnswerText(start=number * len(piece), text=piece)
        await stand.say(slow, text)
        await stand.say(quick, text)
    await stand.say(slow, kit.completed(count * len(piece)))
    await stand.say(quick, kit.completed(count * len(piece)))
    assert texts_of((await quick_asking).text) == piece * count
    assert slow.subject in stand.gateway.core.following  # it has taken next to nothing yet

    received = b""
    async with asyncio.timeout(20):
        while data := await asyncio.get_running_loop().sock_recv(connection, 1 << 16):
            received += data
    connection.close()
    body = dechunked(received.partition(b"\r\n\r\n")[2]).decode()
    assert texts_of(body) == piece * count
    assert body.endswith("data: [DONE]\n\n")
    await stand.until(lambda: len(stand.gateway.core.following) == 0)


def dechunked(data: bytes) -> bytes:
    """Undo HTTP's chunked transfer coding."""
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        whole, data = whole + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return whole


def texts_of(body: str) -> str:
    data = [line[6:] for line in body.splitlines() if line.startswith("data: {")]
    return "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in data)


async def test_repetitions_and_overlaps_in_the_log_show_once(stand: Any, kit: Any) -> None:
    asking = asyncio.create_task(stand.ask(kit.body(stream=True)))
    cause = (await stand.question()).envelope
    events = kit.events("one ", "two ", "three")
    for event in events[:-1]:
        await stand.say(cause, event, event, AnswerText(start=0, text="one "))
    await stand.say(cause, AnswerText(start=6, text="o three"), AnswerText(start=99, text="gap"), events[-1])
    await stand.say(cause, events[-1], *kit.events("another"))
    body = (await asking).text
    assert texts_of(body) == "one two three"
    assert body.count("[DONE]") == 1


async def test_a_stop_lets_answers_end(start_stand: Any, kit: Any) -> None:
    stand = await start_stand(drain_s=5)
    asking = asyncio.create_task(stand.ask(kit.body(stream=True)))
    cause = (await stand.question()).envelope
    await stand.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text="be"))
    stand.stop.set()
    await stand.until(lambda: not stand.gateway.readiness.is_ready)
    await stand.say(cause, AnswerText(start=2, text="fore"), kit.completed(6))
    response = await asking
    assert texts_of(response.text) == "before"
    assert "[DONE]" in response.text


async def test_a_stop_cuts_answers_that_do_not_end(start_stand: Any, kit: Any) -> None:
    stand = await start_stand(drain_s=0.1)
    asking = asyncio.create_task(stand.ask(kit.body(stream=True)))
    cause = (await stand.question()).envelope
    await stand.say(cause, AnswerStarted(model=kit.model))
    stand.stop.set()
    response = await asking
    assert "shutting_down" in response.text
    assert "[DONE]" not in response.text

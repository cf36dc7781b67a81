"""Chat completions as a client sees them: OpenAI's own client, and the exact bytes of a stream."""

import asyncio
import json
import time
from typing import Any

import openai
import pytest

from penstock.gateway.policies import Policies
from penstock.messages import ids
from penstock.messages.chat import (
    AnswerCompleted,
    AnswersFrom,
    AnswerStarted,
    AnswerText,
    ChatRequested,
    RequestFailed,
    Usage,
)


@pytest.fixture
async def client(stand: Any) -> Any:
    async with openai.AsyncOpenAI(base_url=f"{stand.url}/v1", api_key=stand.key, max_retries=0) as opened:
        yield opened


MESSAGES: Any = [{"role": "user", "content": "What is a penstock?"}]


async def test_openai_client_gets_an_answer(stand: Any, client: openai.AsyncOpenAI, kit: Any) -> None:
    answering = asyncio.create_task(
        stand.answer("A pipe", " that feeds", " turbines.", finish_reason="length", citations=(kit.citation,))
    )
    answer = await client.chat.completions.create(model=kit.model, messages=MESSAGES, max_tokens=30, seed=-1)
    cause = await answering

    assert answer.id == f"chatcmpl-{cause.subject}"
    assert answer.object == "chat.completion"
    assert answer.created == ids.created_ms(cause.subject) // 1000
    assert answer.model == kit.model
    [choice] = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "length", None)
    assert choice.message.content == "A pipe that feeds turbines."
    assert (choice.message.role, choice.message.refusal) == ("assistant", None)
    assert choice.message.model_extra == {
        "citations": [
            {
                "index": 1,
                "document_id": "doc-1",
                "title": "Water",
                "start": 10,
                "end": 25,
                "quote": "a pipe of steel",
                "file_id": "file-1",
                "filename": "water.pdf",
                "page": 3,
                "headings": ["Dams", "Pipes"],
            }
        ],
        "grounding": None,
    }
    assert answer.usage is not None
    assert answer.usage.to_dict() == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


async def test_openai_client_streams(stand: Any, client: openai.AsyncOpenAI, kit: Any) -> None:
    answering = asyncio.create_task(stand.answer("A ", 'pipe\n"', "ß🚰", citations=(kit.citation,)))
    stream = await client.chat.completions.create(
        model=kit.model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    cause = await answering

    assert {chunk.id for chunk in chunks} == {f"chatcmpl-{cause.subject}"}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    first, *_, last, usage = chunks
    assert first.choices[0].delta.role == "assistant"
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks[:-1]]
    assert "".join(texts) == 'A pipe\n"ß🚰'
    assert last.choices[0].finish_reason == "stop"
    assert [c.choices[0].finish_reason for c in chunks[:-2]] == [None] * (len(chunks) - 2)
    with_citations = [chunk for chunk in chunks if "citations" in (chunk.model_extra or {})]
    assert with_citations == [last]
    assert last.model_extra is not None
    [citation] = last.model_extra["citations"]
    assert citation["quote"] == "a pipe of steel"
    assert (citation["filename"], citation["page"]) == ("water.pdf", 3)
    assert usage.choices == []
    assert usage.usage is not None
    assert usage.usage.total_tokens == 10


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_says_how_it_stands_to_the_passages(stand: Any, kit: Any, stream: bool) -> None:
    asking = asyncio.create_task(stand.ask(kit.body(stream=stream)))
    cause = (await stand.question()).envelope
    usage = Usage(prompt_tokens=0, completion_tokens=0)
    text = "The documents do not say."
    end = AnswerCompleted(
        length=len(text), finish_reason="stop", usage=usage, citations=(), grounding="not_found"
    )
    await stand.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text=text), end)
    assert '"grounding":"not_found"' in (await asking).text


async def test_what_an_answer_rests_on_is_the_requests_or_else_the_operators_choice(
    stand: Any, kit: Any
) -> None:
    stand.gateway.service.policies = Policies(no_rules, "documents", time.monotonic)
    asked = []
    for more in ({}, {"answers": "quote"}, {"answers": "model", "fallback": "quote"}):
        asking = asyncio.create_task(stand.ask(kit.body(**more)))
        event = (await stand.question()).event
        asked.append((event.answers, event.may_quote))
        asking.cancel()
    assert asked == [("documents", False), ("quote", False), ("model", True)]


async def no_rules(_tenant: str, _store: str) -> AnswersFrom | None:
    return None


async def test_question_reaches_the_log_whole(stand: Any, kit: Any) -> None:
    body = kit.body(
        messages=[
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "What "}, {"type": "text", "text": "is it?"}],
            },
            {"role": "assistant", "content": "A pipe.", "citations": [], "refusal": None, "tool_calls": None},
            {"role": "user", "name": "ann", "content": ""},
        ],
        max_completion_tokens=1_000_000,
        temperature=0,
        top_p=0,
        frequency_penalty=-1.5,
        seed=12,
        stop="\n\n",
        user="u",
    )
    asking = asyncio.create_task(stand.ask(body, headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}))
    asked = await stand.question()
    await stand.say(asked.envelope, *kit.events("x"))
    response = await asking

    assert isinstance(asked.event, ChatRequested)
    assert [(m.role, m.content) for m in asked.event.messages] == [
        ("system", "Be brief."),
        ("user", "What is it?"),
        ("assistant", "A pipe."),
        ("user", ""),
    ]
    sampling = asked.event.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.seed) == (1_000_000, 0, 12)
    assert sampling.top_p is not None
    assert 0 < sampling.top_p < 1e-3
    assert (sampling.frequency_penalty, sampling.stop) == (-1.5, ("\n\n",))
    envelope = asked.envelope
    assert response.headers["x-request-id"] == envelope.subject
    assert (envelope.tenant, envelope.source) == ("default", "/penstock/gateway")
    assert envelope.reply_partition == ids.reply_partition(envelope.subject)
    assert envelope.deadline_ms == ids.created_ms(envelope.subject) + 120_000
    assert envelope.traceparent.startswith(f"00-{'ab' * 16}-")


async def test_stream_is_exact_on_the_wire(stand: Any, kit: Any) -> None:
    asking = asyncio.create_task(stand.ask(kit.body(stream=True)))
    cause = (await stand.question()).envelope
    await stand.say(cause, AnswerStarted(model=kit.model))
    await stand.say(cause, AnswerText(start=0, text='say "h\u00e4"'))
    await stand.say(cause, kit.completed(8))
    response = await asking

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.text.startswith("id: 0\ndata: {")
    events = kit.sse(response.text)
    assert [event.id for event in events] == [0, 8, 9, 11]
    assert events[-1].data == "[DONE]"
    created = ids.created_ms(cause.subject) // 1000
    head = {
        "id": f"chatcmpl-{cause.subject}",
        "created": created,
        "model": kit.model,
        "object": "chat.completion.chunk",
    }

    def chunk(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        return {
            **head,
            "choices": [{"delta": delta, "finish_reason": reason, "index": 0, "logprobs": None}],
        }

    assert [json.loads(event.data) for event in events[:-1]] == [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": 'say "h\u00e4"'}),
        {**chunk({}, "stop"), "citations": [], "grounding": None},
    ]


async def test_text_is_on_the_wire_before_the_next_is_written(stand: Any, kit: Any) -> None:
    async with stand.raw(kit.body(stream=True)) as (reader, _):
        cause = (await stand.question()).envelope
        await stand.say(cause, AnswerStarted(model=kit.model))
        await reader.readuntil(b'"role":"assistant"')
        for number, text in enumerate(("one", "two")):
            await stand.say(cause, AnswerText(start=3 * number, text=text))
            await reader.readuntil(f'"content":"{text}"'.encode())


@pytest.mark.parametrize("stream", [False, True])
async def test_failure_before_the_first_text_sets_the_status(stand: Any, kit: Any, stream: bool) -> None:
    asking = asyncio.create_task(stand.ask(kit.body(stream=stream)))
    cause = (await stand.question()).envelope
    failed = RequestFailed(
        code="context_length_exceeded", message="Too long by 5 tokens.", status=400, stage="tokenization"
    )
    await stand.say(cause, failed)
    response = await asking
    assert response.status_code == 400
    assert response.json() == {
        "error": {
            "message": "Too long by 5 tokens.",
            "type": "invalid_request_error",
            "param": None,
            "code": "context_length_exceeded",
        }
    }
    assert response.headers["x-request-id"] == cause.subject


async def test_failure_after_text_is_the_last_event(stand: Any, kit: Any) -> None:
    async with stand.raw(kit.body(stream=True)) as (reader, _):
        cause = (await stand.question()).envelope
        await stand.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text="half"))
        await reader.readuntil(b'"content":"half"')
        await stand.say(
            cause, RequestFailed(code="backend_gone", message="Gone.", status=502, stage="generation")
        )
        rest = await reader.readuntil(b"0\r\n\r\n")
    assert b"[DONE]" not in rest
    error = {"message": "Gone.", "type": "server_error", "param": None, "code": "backend_gone"}
    assert f"data: {json.dumps({'error': error}, separators=(',', ':'))}\n\n".encode() in rest


async def test_openai_client_raises_on_a_failure_in_the_stream(
    stand: Any, kit: Any, client: openai.AsyncOpenAI
) -> None:
    creating = asyncio.create_task(
        client.chat.completions.create(model=kit.model, messages=MESSAGES, stream=True)
    )
    cause = (await stand.question()).envelope
    await stand.say(cause, AnswerStarted(model=kit.model), AnswerText(start=0, text="half"))
    stream = await creating
    seen = ""
    with pytest.raises(openai.APIError, match="Gone") as raised:  # noqa: PT012  # it comes after some text
        async for chunk in stream:
            seen += chunk.choices[0].delta.content or ""
            if seen:
                await stand.say(
                    cause, RequestFailed(code="backend_gone", message="Gone.", status=502, stage="x")
                )
    assert seen == "half"
    assert raised.value.code == "backend_gone"


async def test_models(client: openai.AsyncOpenAI, kit: Any) -> None:
    listed = [model async for model in client.models.list()]
    assert [(model.id, model.object, model.owned_by) for model in listed] == [
        (kit.model, "model", "penstock")
    ]
    assert await client.models.retrieve(kit.model) == listed[0]
    with pytest.raises(openai.NotFoundError) as raised:
        await client.models.retrieve("nobody/nothing")
    assert raised.value.code == "model_not_found"


async def test_many_at_once_get_their_own_answers(stand: Any, kit: Any) -> None:
    asking = [asyncio.create_task(stand.ask(kit.body(stream=i % 2 == 0, user=str(i)))) for i in range(20)]
    causes = [(await stand.question()).envelope for _ in asking]
    for cause in reversed(causes):
        await stand.say(cause, *kit.events(f"answer to {cause.subject}"))
    for response in await asyncio.gather(*asking):
        assert f"answer to {response.headers['x-request-id']}" in response.text
    assert len(stand.gateway.core.following) == 0
    assert stand.gateway.service.open_requests.used == 0

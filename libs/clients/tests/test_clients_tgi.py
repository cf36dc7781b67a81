"""TGI's dialect: streams of tokens, their ends and their errors; tokens of texts and chats."""

import json
from collections.abc import Sequence

import msgspec
import pytest

from libs.clients.tests.raw_server import END, STREAM, Answer, answer, chunk, serving
from penstock.clients.errors import Busy, ModelServerError, Refused, Unavailable, WrongDialect
from penstock.clients.tgi import Parameters, TgiServer

EVENT = '{"index":1,"token":{"id":1,"text":%s,"logprob":-0.5,"special":false},"details":null}'
LAST = (
    '{"index":2,"token":{"id":2,"text":"</s>","logprob":-0.5,"special":true},"generated_text":"Hi",'
    '"details":{"finish_reason":"eos_token","generated_tokens":2,"seed":null,"input_length":3}}'
)


def data(*events: str) -> bytes:
    return "".join(f"data:{event}\n\n" for event in events).encode()


async def texts(url: str, parameters: Parameters | None = None) -> Sequence[str]:
    server, found = TgiServer(url), []
    try:
        async for events in server.generate_stream("Why?", parameters or Parameters(max_new_tokens=5)):
            found += [event.token.text for event in events if event.token]
    finally:
        await server.close()
    return found


async def test_a_stream_ends_with_its_details_and_keeps_its_connection() -> None:
    pieces: Answer = [STREAM, chunk(data(EVENT % '"Hi"')), 0.02, chunk(data(LAST)), 0.01, END]
    async with serving(pieces) as server:
        tgi = TgiServer(server.url)
        for _ in range(2):
            reads = [events async for events in tgi.generate_stream("Why?", Parameters())]
            assert [len(events) for events in reads] == [1, 1]
            details = reads[-1][-1].details
            assert details is not None
            assert (details.finish_reason, details.generated_tokens) == ("eos_token", 2)
        await tgi.close()
    assert server.connections == 1


@pytest.mark.parametrize("sign", "\u2028\u2029\u0085\v\f")
async def test_signs_that_unicode_takes_for_line_ends_are_text(sign: str) -> None:
    event = EVENT % msgspec.json.encode(f"a{sign}b").decode()
    async with serving([STREAM, chunk(data(event, LAST)), END]) as server:
        assert await texts(server.url) == [f"a{sign}b", "</s>"]


async def test_the_request_says_what_is_wanted_and_nothing_else() -> None:
    async with serving([STREAM, chunk(data(LAST)), END]) as server:
        await texts(server.url, Parameters(max_new_tokens=7, do_sample=True, temperature=0.5, stop=("x",)))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /generate_stream HTTP/1.1")
    assert json.loads(body) == {
        "inputs": "Why?",
        "stream": True,
        "parameters": {
            "max_new_tokens": 7,
            "do_sample": True,
            "temperature": 0.5,
            "stop": ["x"],
            "details": True,
            "return_full_text": False,
        },
    }


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ('{"error":"full","error_type":"overloaded"}', Busy),
        ('{"error":"full","error_type":"validation"}', Refused),
        ('{"error":"full","error_type":"incomplete_generation"}', Unavailable),
        ("[DONE]", WrongDialect),
        ('{"choices":[]}', WrongDialect),
        ('{"token":{"text":5}}', WrongDialect),
    ],
)
async def test_an_error_within_the_stream_comes_after_the_tokens_before_it(
    event: str, kind: type[ModelServerError]
) -> None:
    async with serving([STREAM, chunk(data(EVENT % '"Hi"', event)), END]) as server:
        tgi = TgiServer(server.url)
        stream = tgi.generate_stream("Why?", Parameters())
        [first] = await anext(stream)
        assert first.token is not None
        assert first.token.text == "Hi"
        with pytest.raises(kind):
            await anext(stream)
        await tgi.close()


async def test_tokens_of_a_text_and_of_a_chat() -> None:
    spans = b'[{"id":1,"text":"a","start":0,"stop":1}]'
    chat = b'{"tokenize_response":%s,"templated_text":"<user>a"}' % spans
    async with serving(answer(200, spans), answer(200, chat), answer(200, b'{"model_id":"m"}')) as server:
        tgi = TgiServer(server.url)
        assert [(span.start, span.stop) for span in await tgi.tokenize("a")] == [(0, 1)]
        tokens = await tgi.chat_tokenize([{"role": "user", "content": "a"}])
        assert (tokens.templated_text, len(tokens.tokenize_response)) == ("<user>a", 1)
        with pytest.raises(WrongDialect, match="max_total"):
            await tgi.info(msgspec.defstruct("Info", [("max_total_tokens", int)]))
        await tgi.close()
    assert json.loads(server.requests[0].partition(b"\r\n\r\n")[2]) == {
        "inputs": "a",
        "add_special_tokens": False,
    }

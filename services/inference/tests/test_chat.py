"""/v1/chat/completions, /tokenize and /chat_tokenize on the real model."""

from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

MESSAGES = [{"role": "user", "content": "Say hi"}]
UNKNOWN = 0
"""SmolLM2's vocabulary lacks a few bytes of rare characters; the tokenizer puts this id in their place."""
Events = Callable[[str, dict[str, Any]], Any]


def keys(value: Any) -> Any:
    """Return the shape of a value: its field names, all the way down."""
    if isinstance(value, dict):
        return {key: keys(item) for key, item in value.items()}
    return [keys(value[0])] if isinstance(value, list) and value else None


async def test_a_completion_has_the_dialects_shape(http: httpx2.AsyncClient, conforms: Any) -> None:
    body = {"messages": MESSAGES, "max_tokens": 4, "temperature": 0, "logprobs": True}
    answer = (await http.post("/v1/chat/completions", json=body)).json()
    conforms("tgi", "ChatCompletion", answer)
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "length"
    shown = choice["logprobs"]["content"]
    assert "".join(token["token"] for token in shown) == choice["message"]["content"]
    usage = answer["usage"]
    assert usage["completion_tokens"] == 4
    assert usage["total_tokens"] == usage["prompt_tokens"] + 4


async def test_a_stream_ends_with_usage_and_done_as_a_real_tgi_does(
    events: Events, conforms: Any, recorded: Callable[[str], Any]
) -> None:
    body = {"messages": MESSAGES, "max_tokens": 4, "temperature": 0, "stream": True}
    *chunks, done = await events("/v1/chat/completions", {**body, "stream_options": {"include_usage": True}})
    assert done == "[DONE]"
    for chunk in chunks:
        conforms("tgi", "ChatCompletionChunk", chunk)
    real = recorded("test_flash_llama_completion_stream_usage")
    for ours, theirs in ((chunks[0], real[0]), (chunks[-1], real[-1])):
        theirs_shape = keys(theirs)
        for choice in theirs_shape["choices"] or []:
            choice["delta"].pop("tool_calls")
        assert keys({key: value for key, value in ours.items() if key != "object"}) == {
            key: value for key, value in theirs_shape.items() if key != "object"
        }
    assert [chunk["choices"] for chunk in chunks][-1] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    without = await events("/v1/chat/completions", body)
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in without[:-1])
    assert text == "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks[:-1])


async def test_the_openai_package_streams_from_it(served: Any) -> None:
    client = openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none")
    (model,) = (await client.models.list()).data
    stream = await client.chat.completions.create(
        model=model.id,
        messages=[{"role": "user", "content": "Say hi"}],
        max_tokens=3,
        stream=True,
        stop="\n\n\n",
    )
    reasons = [chunk.choices[0].finish_reason async for chunk in stream]
    assert reasons[-1] in ("length", "stop")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"messages": []}, "`messages` cannot be empty"),
        ({"messages": [{"role": "user"}]}, "every message needs `content`"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "`content`"),
        ({"n": 2}, "`n`"),
        ({"tools": [{"type": "function"}]}, "`tools`"),
        ({"logit_bias": {"5": 1}}, "`logit_bias`"),
        ({"top_logprobs": 2}, "`top_logprobs`"),
        ({"response_format": {"type": "json_object"}}, "`response_format`"),
        ({"max_tokens": 0}, "strictly positive"),
        ({"max_tokens": 1_000_000}, "must be <= 1024"),
        ({"temperature": -1}, "`temperature`"),
    ],
)
async def test_what_it_cannot_do_is_refused_by_name(
    http: httpx2.AsyncClient, conforms: Any, more: dict[str, Any], told: str
) -> None:
    answer = await http.post("/v1/chat/completions", json={"messages": MESSAGES, "stream": True, **more})
    assert answer.status_code == 422
    conforms("tgi", "ErrorResponse", answer.json())
    assert told in answer.json()["error"]


@pytest.mark.parametrize(
    "text", ["The dam holds.", "naïve 😀 水門\n\n\tend  ", "<|im_start|>user\nhi<|im_end|>\n"]
)
async def test_token_ids_are_the_engines_and_spans_lie_in_the_text(
    http: httpx2.AsyncClient, events: Events, conforms: Any, served: Any, text: str
) -> None:
    tokens = (await http.post("/tokenize", json={"inputs": text})).json()
    conforms("tgi", "TokenizeResponse", tokens)
    assert [text[token["start"] : token["stop"]] for token in tokens] == [token["text"] for token in tokens]
    assert (tokens[0]["start"], tokens[-1]["stop"]) == (0, len(text))
    stream = await events(
        "/generate_stream", {"inputs": text, "parameters": {"max_new_tokens": 1, "details": True}}
    )
    assert stream[-1]["details"]["input_length"] == len(tokens)
    inner = served.assembly.service.tokenizer._tokenizer
    assert inner.encode(text).input_ids.data[0].tolist() == [token["id"] for token in tokens]


async def test_chat_tokenize_returns_the_prompt_that_a_completion_uses(
    http: httpx2.AsyncClient, conforms: Any
) -> None:
    made = (await http.post("/chat_tokenize", json={"messages": MESSAGES})).json()
    conforms("tgi", "ChatTokenizeResponse", made)
    prompt = made["templated_text"]
    assert prompt.endswith("<|im_start|>user\nSay hi<|im_end|>\n<|im_start|>assistant\n")
    parameters = {"max_new_tokens": 6}
    plain = (await http.post("/generate", json={"inputs": prompt, "parameters": parameters})).json()
    body = {"messages": MESSAGES, "max_tokens": 6, "temperature": 0}
    chat = (await http.post("/v1/chat/completions", json=body)).json()
    assert chat["choices"][0]["message"]["content"] == plain["generated_text"]
    assert chat["usage"]["prompt_tokens"] == len(made["tokenize_response"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(ids=st.lists(st.integers(17, 49151), max_size=30))
def test_the_pieces_of_any_tokens_join_to_the_models_own_decoding(served: Any, ids: list[int]) -> None:
    tokenizer = served.assembly.service.tokenizer
    detokenizer = tokenizer.detokenizer()
    text = "".join(detokenizer.push(token) for token in ids)
    assert tokenizer._decode(ids).startswith(text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_survives_the_tokenizer(served: Any, text: str) -> None:
    tokenizer = served.assembly.service.tokenizer
    detokenizer = tokenizer.detokenizer()
    ids = tokenizer.encode(text)
    assume(UNKNOWN not in ids)
    assert "".join(detokenizer.push(token) for token in ids) == text

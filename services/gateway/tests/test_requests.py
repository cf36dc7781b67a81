"""What is taken, ignored and refused of OpenAI's parameters, and how refusals are worded."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.gateway.domain.chat_request import DEFAULTS, parse, question_of
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.domain.wire import ChatCompletionRequest

REFERENCE = Path(__file__).parents[3].parent / "shared" / "references" / "openai-openapi-subset.json"


def accept(body: Any) -> Any:
    return question_of(parse(body if isinstance(body, bytes) else json.dumps(body).encode()))


def refusal(body: Any) -> ApiError:
    with pytest.raises(ApiError) as raised:
        accept(body)
    assert raised.value.type == "invalid_request_error"
    return raised.value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("functions", [{"name": "f"}]),
        ("tool_choice", "required"),
        ("function_call", {"name": "f"}),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema", "json_schema": {}}),
        ("logprobs", True),
        ("top_logprobs", 2),
        ("logit_bias", {"5": 1}),
        ("presence_penalty", 0.5),
        ("n", 2),
        ("n", 0),
        ("n", True),
        ("audio", {"voice": "alloy", "format": "mp3"}),
        ("modalities", ["text", "audio"]),
        ("web_search_options", {}),
        ("reasoning_effort", "high"),
        ("verbosity", "low"),
        ("store", True),
        ("moderation", {}),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(kit: Any, name: str, value: Any) -> None:
    error = refusal(kit.body(**{name: value}))
    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", name)
    assert name in error.message


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_null_is_as_good_as_nothing(kit: Any, name: str) -> None:
    assert accept(kit.body(**{name: None})) == accept(kit.body())


def test_what_does_not_change_the_answer_is_ignored(kit: Any) -> None:
    harmless = {
        "user": "u",
        "store": False,
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "parallel_tool_calls": True,
        "tools": [],
        "tool_choice": "none",
        "function_call": "auto",
        "functions": [],
        "response_format": {"type": "text"},
        "logprobs": False,
        "top_logprobs": 0,
        "logit_bias": {},
        "presence_penalty": 0.0,
        "n": 1,
        "modalities": ["text"],
        "prediction": {"type": "content", "content": "x"},
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {},
        "safety_identifier": "s",
        "verbosity": "medium",
        "reasoning_effort": "none",
        "stream": True,
        "stream_options": {"include_obfuscation": False},
    }
    assert accept(kit.body(**harmless)) == accept(kit.body())


def user(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": None}, "model", "invalid_value"),
        ({"model": ""}, "model", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "hi"}, "messages", "invalid_value"),
        ({"messages": [5]}, "messages[0]", "invalid_value"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "invalid_value"),
        ({"messages": user(5)}, "messages[0].content", "invalid_value"),
        ({"messages": user([{"type": "text"}])}, "messages[0].content[0].text", "invalid_value"),
        ({"messages": user([{"text": "x"}])}, "messages[0].content[0].type", "missing_required_parameter"),
        (
            {"messages": user([{"type": "image_url", "image_url": {"url": "x"}}])},
            "messages[0].content[0].type",
            "unsupported_parameter",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}]},
            "messages[0].tool_calls",
            "unsupported_parameter",
        ),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": -5}, "max_tokens", "invalid_value"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_value"),
        ({"max_tokens": 10**30}, "max_tokens", "invalid_value"),
        ({"max_completion_tokens": 0}, "max_completion_tokens", "invalid_value"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", "invalid_value"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"temperature": "1"}, "temperature", "invalid_value"),
        ({"top_p": -0.1}, "top_p", "invalid_value"),
        ({"frequency_penalty": 3}, "frequency_penalty", "invalid_value"),
        ({"seed": 2**63}, "seed", "invalid_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "invalid_value"),
        ({"stop": ""}, "stop", "invalid_value"),
        ({"stop": [1]}, "stop[0]", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"temprature": 1}, "temprature", "unknown_parameter"),
    ],
)
def test_wrong_values_are_refused_by_name(kit: Any, change: dict[str, Any], param: str, code: str) -> None:
    error = refusal({**kit.body(), **change})
    assert (error.status, error.param, error.code) == (400, param, code)


@pytest.mark.parametrize("name", ["model", "messages"])
def test_missing_parameters_are_named(kit: Any, name: str) -> None:
    body = kit.body()
    del body[name]
    assert (refusal(body).param, refusal(body).code) == (name, "missing_required_parameter")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"model": "\xff"}',
        b'{"model": NaN}',
        b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "m", "messages": [{"role": "user"}], "tools": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    error = refusal(body)
    assert (error.status, error.code) == (400, "invalid_json")


def test_an_array_is_no_request() -> None:
    assert refusal(b"[]").message == "Invalid value for 'body': expected 'object', got 'array'."


def test_seeds_stay_apart_and_in_range(kit: Any) -> None:
    seeds = [-(2**63) + 1, -1, 0, 1, 2**62]
    taken = [accept(kit.body(seed=seed)).sampling.seed for seed in seeds]
    assert len(set(taken)) >= 4
    assert all(0 <= seed < 2**63 for seed in taken)


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    if not REFERENCE.exists():
        pytest.skip("no OpenAI reference beside this checkout (../shared/references)")
    loaded: dict[str, Any] = json.loads(REFERENCE.read_text())
    return loaded


def resolve(reference: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a schema with those of all it consists of."""
    if "$ref" in schema:
        return resolve(reference, reference["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    found: dict[str, Any] = dict(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        found |= resolve(reference, part)
    return found


def test_every_parameter_of_openai_is_known(reference: dict[str, Any]) -> None:
    known = resolve(reference, {"$ref": "x/CreateChatCompletionRequest"})
    assert set(ChatCompletionRequest.__struct_fields__) == set(known) | {
        "background",
        "answers",
        "fallback",
        "vector_store_ids",
        "filters",
    }


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("ChatCompletion", "CreateChatCompletionResponse"),
        ("ChatCompletionChunk", "CreateChatCompletionStreamResponse"),
        ("Model", "Model"),
        ("ModelList", "ListModelsResponse"),
        ("ErrorResponse", "ErrorResponse"),
    ],
)
def test_bodies_have_the_shape_of_openai(reference: dict[str, Any], ours: str, theirs: str) -> None:
    from jsonschema import Draft202012Validator

    schema = {"$ref": f"#/components/schemas/{theirs}", "components": nullable(reference["components"])}
    validator = Draft202012Validator(schema)
    for body in BODIES[ours]:
        validator.validate(msgspec.to_builtins(msgspec.json.decode(body)))


def nullable(node: Any) -> Any:
    """Write OpenAPI 3.0's `nullable: true`, which the reference still uses, as JSON Schema."""
    if isinstance(node, list):
        return [nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: nullable(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain


def _bodies() -> dict[str, list[bytes]]:
    from penstock.gateway.domain import render, wire
    from penstock.gateway.domain.errors import too_large
    from penstock.messages.chat import AnswerCompleted, Citation, Usage
    from penstock.messages.ids import new_request_id

    request_id = new_request_id(3, 1_700_000_000_000)
    citation = Citation(index=1, document_id="d", title="t", start=0, end=1, quote="q")
    end = AnswerCompleted(
        length=2,
        finish_reason="stop",
        usage=Usage(prompt_tokens=1, completion_tokens=2),
        citations=(citation,),
    )
    chunks = render.Chunks(request_id, "m", include_usage=True)
    events = (chunks.first() + chunks.text("hi", 2) + chunks.end(end)).split(b"\n\n")
    model = wire.Model(id="m", created=1)
    return {
        "ChatCompletion": [render.completion(request_id, "m", "hi", end)],
        "ChatCompletionChunk": [event.partition(b"data: ")[2] for event in events[:-2]],
        "Model": [msgspec.json.encode(model)],
        "ModelList": [msgspec.json.encode(wire.ModelList(data=[model]))],
        "ErrorResponse": [render.error(too_large(5))],
    }


BODIES = _bodies()

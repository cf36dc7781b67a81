"""TGI's own endpoints on the real model."""

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

PROMPT = "The capital of France is"
LONG = "The river brings water to the dam and the dam brings water to the turbine. " * 4

Events = Callable[[str, dict[str, Any]], Any]


def busy(http: httpx2.AsyncClient, count: int) -> list[asyncio.Task[httpx2.Response]]:
    """Start requests that last until they are cancelled."""
    body = request(max_new_tokens=900)
    return [asyncio.create_task(http.post("/generate", json=body)) for _ in range(count)]


def request(inputs: str = PROMPT, **parameters: Any) -> dict[str, Any]:
    return {"inputs": inputs, "parameters": parameters}


async def test_a_whole_answer_has_real_logprobs_and_tgis_shape(
    http: httpx2.AsyncClient, conforms: Any, recorded: Callable[[str], Any]
) -> None:
    answer = (await http.post("/generate", json=request(max_new_tokens=5, details=True))).json()
    conforms("tgi", "GenerateResponse", answer)
    details = answer["details"]
    assert "".join(token["text"] for token in details["tokens"]) == answer["generated_text"]
    assert answer["generated_text"].startswith(" Paris")
    assert details["finish_reason"] == "length"
    assert details["generated_tokens"] == len(details["tokens"]) == 5
    assert details["seed"] is None
    assert all(token["logprob"] < 0 for token in details["tokens"])
    assert details["tokens"][0]["logprob"] > -1
    real = recorded("test_flash_llama_simple")
    assert set(answer) == set(real)
    assert set(details) | {"best_of_sequences", "top_tokens"} == set(real["details"])
    assert set(details["tokens"][0]) == set(real["details"]["tokens"][0])


async def test_details_are_left_out_unless_asked_for(http: httpx2.AsyncClient) -> None:
    assert list((await http.post("/generate", json=request(max_new_tokens=2))).json()) == ["generated_text"]


async def test_a_stream_is_numbered_from_one_and_only_its_last_event_has_the_text(
    events: Events, conforms: Any
) -> None:
    stream = await events("/generate_stream", request(max_new_tokens=5, details=True))
    for event in stream:
        conforms("tgi", "StreamResponse", event)
    assert [event["index"] for event in stream] == [1, 2, 3, 4, 5]
    assert [event["generated_text"] for event in stream[:-1]] == [None] * 4
    assert [event["details"] for event in stream[:-1]] == [None] * 4
    assert stream[-1]["generated_text"] == "".join(event["token"]["text"] for event in stream)
    assert stream[-1]["details"] == {
        "finish_reason": "length",
        "generated_tokens": 5,
        "seed": None,
        "input_length": 5,
    }


async def test_the_root_streams_or_answers_with_a_list(http: httpx2.AsyncClient, events: Events) -> None:
    body = request(max_new_tokens=3)
    (answer,) = (await http.post("/", json=body)).json()
    stream = await events("/", {**body, "stream": True})
    assert stream[-1]["generated_text"] == answer["generated_text"]


async def test_an_answer_ends_at_the_models_end_token(events: Events) -> None:
    prompt = "<|im_start|>user\nWhat is 2+2? Answer with one digit.<|im_end|>\n<|im_start|>assistant\n4."
    stream = await events("/generate_stream", request(prompt, max_new_tokens=200, details=True))
    assert stream[-1]["details"]["finish_reason"] == "eos_token"
    assert stream[-1]["token"]["special"]
    assert stream[-1]["token"]["text"] == "<|im_end|>"
    assert "<|im_end|>" not in stream[-1]["generated_text"]


async def test_a_stop_sequence_across_tokens_ends_the_answer_and_is_part_of_it(events: Events) -> None:
    free = await events("/generate_stream", request(max_new_tokens=6))
    text = free[-1]["generated_text"]
    first, second = (event["token"]["text"] for event in free[:2])
    stop = first[-2:] + second[:1]
    stream = await events("/generate_stream", request(max_new_tokens=6, stop=[stop], details=True))
    assert stream[-1]["generated_text"] == text[: text.index(stop) + len(stop)]
    assert stream[-1]["details"]["finish_reason"] == "stop_sequence"
    assert "".join(event["token"]["text"] for event in stream) == stream[-1]["generated_text"]


@pytest.mark.parametrize("prompt", [PROMPT, LONG])
async def test_a_seed_gives_the_same_text_again_and_another_seed_another(
    http: httpx2.AsyncClient, prompt: str
) -> None:
    async def draw(seed: int) -> str:
        body = request(prompt, max_new_tokens=16, do_sample=True, seed=seed, details=True)
        answer = (await http.post("/generate", json=body)).json()
        assert answer["details"]["seed"] == seed
        return str(answer["generated_text"])

    texts = [await draw(11) for _ in range(3)]
    assert len(set(texts)) == 1
    assert await draw(12) != texts[0]


async def test_sampling_without_a_seed_says_which_it_took_and_left_out_parameters_sample(
    http: httpx2.AsyncClient,
) -> None:
    body = request(max_new_tokens=2, do_sample=True, details=True)
    seeds = {(await http.post("/generate", json=body)).json()["details"]["seed"] for _ in range(2)}
    assert len(seeds) == 2
    assert None not in seeds


async def test_the_parameters_change_the_text(http: httpx2.AsyncClient) -> None:
    async def text(**parameters: Any) -> str:
        body = request("one two one two one two one two", max_new_tokens=12, **parameters)
        answer = await http.post("/generate", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["generated_text"])

    greedy = await text()
    assert await text(temperature=0.8, top_k=1) == greedy
    assert await text(do_sample=True, top_p=0.0001) == greedy
    assert await text(repetition_penalty=2.0) != greedy
    assert await text(frequency_penalty=2.0) != greedy
    assert await text(return_full_text=True) == "one two one two one two one two" + greedy
    assert await text(truncate=1) != greedy


async def test_best_of_returns_the_better_one_and_shows_the_other(
    http: httpx2.AsyncClient, conforms: Any
) -> None:
    body = request(max_new_tokens=4, do_sample=True, temperature=1.5, best_of=2, details=True)
    answer = (await http.post("/generate", json=body)).json()
    conforms("tgi", "GenerateResponse", answer)
    (other,) = answer["details"]["best_of_sequences"]

    def mean(tokens: list[dict[str, float]]) -> float:
        return sum(token["logprob"] for token in tokens) / len(tokens)

    assert mean(answer["details"]["tokens"]) >= mean(other["tokens"])


@pytest.mark.parametrize("path", ["/generate", "/generate_stream", "/"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"top_n_tokens": 2},
        {"grammar": {"type": "json", "value": {}}},
        {"watermark": True},
        {"typical_p": 0.5},
    ],
)
async def test_an_unsupported_parameter_is_named(
    http: httpx2.AsyncClient, conforms: Any, path: str, parameters: dict[str, Any]
) -> None:
    answer = await http.post(path, json={**request(**parameters), "stream": path == "/"})
    assert answer.status_code == 422
    conforms("tgi", "ErrorResponse", answer.json())
    assert f"`{next(iter(parameters))}` is not supported" in answer.json()["error"]
    assert answer.json()["error_type"] == "validation"


async def test_a_short_request_finishes_while_a_long_one_streams(
    http: httpx2.AsyncClient, events: Events
) -> None:
    async with http.stream("POST", "/generate_stream", json=request(max_new_tokens=900)) as long:
        lines = long.aiter_lines()
        await anext(lines)
        short = await events("/generate_stream", request(max_new_tokens=3))
        assert len(short) == 3
        # The long one is still at work: it goes on giving tokens after the short one has ended.
        for _ in range(4):
            await anext(lines)


async def test_a_client_that_leaves_frees_its_place(http: httpx2.AsyncClient, served: Any) -> None:
    engine = served.assembly.engine
    await served.until(lambda: engine.batch_size == 0)
    async with http.stream("POST", "/generate_stream", json=request(max_new_tokens=900)) as response:
        await anext(response.aiter_lines())
        assert engine.batch_size == 1
    await served.until(lambda: engine.batch_size == 0, 3)
    (whole,) = busy(http, 1)
    await served.until(lambda: engine.batch_size == 1)
    whole.cancel()
    await served.until(lambda: engine.batch_size == 0, 3)


async def test_overload_is_answered_at_once_and_passes(http: httpx2.AsyncClient, served: Any) -> None:
    engine = served.assembly.engine
    await served.until(lambda: engine.batch_size == 0)
    waiting = [
        asyncio.create_task(http.post("/generate", json=request(max_new_tokens=900))) for _ in range(6)
    ]
    await served.until(lambda: engine.batch_size == 4 and engine.queue_size == 2)
    for path in ("/generate", "/generate_stream"):
        refused = await http.post(path, json=request(max_new_tokens=1))
        assert refused.status_code == 429
        assert refused.json() == {"error": "Model is overloaded", "error_type": "overloaded"}
    metrics = (await http.get("/metrics")).text
    assert "tgi_queue_size 2.0" in metrics
    assert "tgi_batch_current_size 4.0" in metrics
    for task in waiting:
        task.cancel()
    await served.until(lambda: engine.batch_size == 0 and engine.queue_size == 0)
    assert (await http.post("/generate", json=request(max_new_tokens=1))).status_code == 200


async def test_a_waiting_client_that_leaves_never_joins_the_batch(
    http: httpx2.AsyncClient, served: Any
) -> None:
    engine = served.assembly.engine
    running = [
        asyncio.create_task(http.post("/generate", json=request(max_new_tokens=900))) for _ in range(5)
    ]
    await served.until(lambda: engine.batch_size == 4 and engine.queue_size == 1)
    for task in running:
        task.cancel()
    await served.until(lambda: engine.batch_size == 0 and engine.queue_size == 0)


async def test_the_engine_gives_way_to_others(served: Any) -> None:
    thread = served.assembly.engine._thread
    assert os.getpriority(os.PRIO_PROCESS, thread.native_id) == os.getpriority(os.PRIO_PROCESS, 0) + 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not valid JSON"),
        (b'{"inputs": "a"', "not valid JSON"),
        (b'{"inputs": "\xff"}', "not valid JSON"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs": 3}', "$.inputs"),
        (b'{"inputs": ""}', "`inputs` cannot be empty"),
        (b'{"inputs": "a", "parameters": {"max_new_tokens": "many"}}', "$.parameters.max_new_tokens"),
        (b'{"inputs": "a", "parameters": {"max_new_tokens": 0}}', "must be strictly positive"),
        (b'{"inputs": "a", "parameters": {"max_new_tokens": 1000000}}', "must be <= 1024. Given: 1 `inputs`"),
        (json.dumps({"inputs": "word " * 5000}).encode(), "must have less than 1000 tokens"),
    ],
)
async def test_bad_bodies_are_refused_with_a_reason(
    http: httpx2.AsyncClient, conforms: Any, body: bytes, told: str
) -> None:
    answer = await http.post("/generate", content=body)
    assert answer.status_code == 422
    conforms("tgi", "ErrorResponse", answer.json())
    assert told in answer.json()["error"]


async def test_a_huge_body_is_refused_before_it_is_read(http: httpx2.AsyncClient) -> None:
    sent = 0

    async def body() -> Any:
        nonlocal sent
        for _ in range(10_000):
            sent += 1
            yield b" " * 10_000

    declared = await http.post("/generate", content=b" " * 2_100_000)
    assert declared.status_code == 413
    try:
        status = (await http.post("/generate", content=body())).status_code
    except httpx2.TransportError:
        status = 413  # The server closed the connection while we were still sending.
    assert status == 413
    assert sent < 10_000


async def test_a_body_that_says_it_is_far_too_large_is_not_waited_for(served: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    writer.write(b"POST /generate HTTP/1.1\r\nhost: here\r\ncontent-length: 100000000\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_info_health_and_metrics_are_tgis(http: httpx2.AsyncClient, conforms: Any) -> None:
    info = (await http.get("/info")).json()
    conforms("tgi", "Info", info)
    assert (info["max_input_tokens"], info["max_total_tokens"]) == (1000, 1024)
    health = await http.get("/health")
    assert (health.status_code, health.content) == (200, b"")
    assert (await http.get("/readyz")).json() == {"ready": True, "waiting_for": []}
    await http.post("/generate", json=request(max_new_tokens=2))
    lines = (await http.get("/metrics")).text.splitlines()
    values = {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("tgi_")}
    for name in ("duration", "queue_duration", "inference_duration", "mean_time_per_token_duration"):
        assert values[f"tgi_request_{name}_count"] >= 1
        assert values[f"tgi_request_{name}_sum"] >= 0
    assert values["tgi_request_success"] == values["tgi_request_generated_tokens_count"] >= 1
    assert values["tgi_request_count"] >= values["tgi_request_success"]
    assert values['tgi_request_failure{err="validation"}'] >= 1
    assert values["tgi_request_input_length_sum"] >= 5

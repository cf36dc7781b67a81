"""The stub over HTTP: TGI's dialect as clients read it, its slots and its delays."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import msgspec
import pytest
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import OverloadedError

from e2e.stub.text import chat_prompt
from e2e.stub.wire import StreamResponse

ROOT = Path(__file__).parents[3]
PROMPT = chat_prompt([("user", "What is a watermark?")])


def hub_client(stub: httpx2.AsyncClient) -> AsyncInferenceClient:
    return AsyncInferenceClient(str(stub.base_url).rstrip("/"))


async def stats(stub: httpx2.AsyncClient) -> dict[str, int]:
    found: dict[str, int] = (await stub.get("/stub/stats")).json()
    return found


async def until_running(stub: httpx2.AsyncClient, count: int) -> None:
    async with asyncio.timeout(5):
        while (await stats(stub))["running"] != count:  # each look takes about a millisecond
            continue


async def test_the_hub_client_reads_the_stream(stub: httpx2.AsyncClient) -> None:
    async with hub_client(stub) as client:
        outputs = [
            output
            async for output in await client.text_generation(
                PROMPT, stream=True, details=True, max_new_tokens=7
            )
        ]
    assert [output.index for output in outputs] == [1, 2, 3, 4, 5, 6, 7]
    last = outputs[-1]
    assert "".join(output.token.text for output in outputs) == last.generated_text
    assert last.details is not None
    assert (last.details.finish_reason, last.details.generated_tokens) == ("length", 7)
    assert all(output.details is None and output.generated_text is None for output in outputs[:-1])


async def test_the_hub_client_reads_the_whole_answer_and_embeddings(stub: httpx2.AsyncClient) -> None:
    async with hub_client(stub) as client:
        whole = await client.text_generation(PROMPT, details=True, max_new_tokens=7)
        streamed = [
            text async for text in await client.text_generation(PROMPT, stream=True, max_new_tokens=7)
        ]
    assert whole.generated_text == "".join(streamed)
    assert whole.details is not None
    assert len(whole.details.tokens) == 7
    async with AsyncInferenceClient(f"{str(stub.base_url).rstrip('/')}/tei/embed") as client:
        assert (await client.feature_extraction("What is a watermark?")).shape == (1, 384)


async def test_both_paths_stream_the_same_events(stub: httpx2.AsyncClient) -> None:
    body = {"inputs": PROMPT, "stream": True, "parameters": {"max_new_tokens": 3}}
    first, other = await stub.post("/", json=body), await stub.post("/generate_stream", json=body)
    assert first.content == other.content
    events = [line.removeprefix("data:") for line in first.text.split("\n\n") if line]
    decoded = [msgspec.json.decode(event, type=StreamResponse) for event in events]
    assert [event.index for event in decoded] == [1, 2, 3]


async def test_an_answer_that_has_ended_continues_with_nothing(stub: httpx2.AsyncClient) -> None:
    whole = (await stub.post("/generate", json={"inputs": PROMPT})).json()["generated_text"]
    again = (await stub.post("/generate_stream", json={"inputs": PROMPT + whole})).text
    event = msgspec.json.decode(again.removeprefix("data:"), type=StreamResponse)
    assert (event.token.text, event.token.special, event.generated_text) == ("", True, "")


async def test_a_request_beyond_the_slots_is_refused_until_one_is_free(stub: httpx2.AsyncClient) -> None:
    await stub.put("/stub/behaviour", json={"first_ms": 60_000})
    waiting = [asyncio.create_task(stub.post("/generate", json={"inputs": PROMPT})) for _ in range(2)]
    await until_running(stub, 2)
    async with hub_client(stub) as client:
        with pytest.raises(OverloadedError):
            await client.text_generation(PROMPT, stream=True)
    for task in waiting:  # clients that go give their slots back at once
        task.cancel()
    await until_running(stub, 0)
    counted = await stats(stub)
    assert (counted["refused"], counted["abandoned"]) == (1, 2)


async def test_a_stream_whose_client_goes_ends(stub: httpx2.AsyncClient) -> None:
    await stub.put("/stub/behaviour", json={"inter_ms": 5})
    async with stub.stream("POST", "/generate_stream", json={"inputs": PROMPT}) as response:
        await anext(response.aiter_raw())
    await until_running(stub, 0)
    counted = await stats(stub)
    assert counted["abandoned"] == 1
    assert counted["tokens"] < 50


async def test_tokens_come_at_the_set_times(stub: httpx2.AsyncClient) -> None:
    await stub.put("/stub/behaviour", json={"first_ms": 60, "inter_ms": 20})
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 6}}
    started = time.perf_counter()
    async with stub.stream("POST", "/generate_stream", json=body) as response:
        arrivals = [time.perf_counter() - started async for _ in response.aiter_raw()]
    assert len(arrivals) == 6
    assert arrivals[0] >= 0.059
    assert arrivals[-1] >= 0.159


async def test_chat_tokenize_gives_the_prompt_and_where_its_tokens_stand(stub: httpx2.AsyncClient) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Qué hay, 水門?"}]
    got = (await stub.post("/chat_tokenize", json={"messages": messages})).json()
    prompt = got["templated_text"]
    assert prompt == chat_prompt([("system", "Be brief."), ("user", "Qué hay, 水門?")])
    tokens = got["tokenize_response"]
    assert [prompt[token["start"] : token["stop"]] for token in tokens] == [token["text"] for token in tokens]
    plain = (await stub.post("/tokenize", json={"inputs": prompt})).json()
    assert plain == tokens


@pytest.mark.parametrize(
    "body", [b"{", b"{}", b'{"inputs": ""}', b'{"inputs": "a", "parameters": {"max_new_tokens": 0}}']
)
async def test_what_tgi_refuses_is_refused_its_way(stub: httpx2.AsyncClient, body: bytes) -> None:
    response = await stub.post("/generate_stream", content=body)
    assert response.status_code == 422
    assert response.json()["error_type"] == "validation"


async def test_a_wrong_behaviour_changes_nothing(stub: httpx2.AsyncClient) -> None:
    before = (await stub.get("/stub/behaviour")).json()
    assert (await stub.put("/stub/behaviour", json={"slots": 0})).status_code == 422
    assert (await stub.get("/stub/behaviour")).json() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_its_url_and_ends_cleanly(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "e2e.stub", "--port", "0", "--slots", "3"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 ours
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx2.get(f"{url}/info", trust_env=False).json()["max_concurrent_requests"] == 3
        process.send_signal(number)
        assert process.wait(10) == 0

"""huggingface-hub's own client, unchanged, against the real server."""

from typing import Any

import pytest
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import ValidationError

PROMPT = "The capital of France is"


async def test_text_generation_streams_with_details(served: Any) -> None:
    client = AsyncInferenceClient(model=served.url)
    stream = await client.text_generation(PROMPT, max_new_tokens=5, stream=True, details=True)
    events = [event async for event in stream]
    assert len(events) == 5
    assert events[0].token.logprob < 0
    assert events[-1].generated_text == "".join(event.token.text for event in events)
    assert events[-1].details is not None
    assert events[-1].details.finish_reason == "length"
    assert events[-1].details.input_length == 5


async def test_text_generation_answers_whole(served: Any) -> None:
    client = AsyncInferenceClient(model=served.url)
    answer = await client.text_generation(PROMPT, max_new_tokens=5, details=True, do_sample=True, seed=3)
    assert answer.details is not None
    assert answer.details.seed == 3
    assert len(answer.details.tokens) == 5
    assert "Paris" in await client.text_generation(PROMPT, max_new_tokens=3)


async def test_errors_arrive_as_the_clients_own(served: Any) -> None:
    client = AsyncInferenceClient(model=served.url)
    with pytest.raises(ValidationError, match="top_n_tokens"):
        await client.text_generation(PROMPT, top_n_tokens=3, details=True)


async def test_chat_completion(served: Any) -> None:
    client = AsyncInferenceClient(model=served.url)
    answer = await client.chat_completion([{"role": "user", "content": "Say hi"}], max_tokens=4)
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens == 4


async def test_feature_extraction(served: Any) -> None:
    client = AsyncInferenceClient(model=f"{served.url}/tei")
    vectors = await client.feature_extraction("a dam", normalize=True, truncate=True)
    assert vectors.shape == (1, 384)

"""No request harms another: whatever is asked, the others get their text and the model stays loaded."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

NEIGHBOUR = {"inputs": "The capital of France is", "parameters": {"max_new_tokens": 4}}
NEIGHBOURS_TEXT = " Paris.\n\n"

_EDGES = [1e-300, 1e-60, 1e-45, 1e-38, 1e-10, 0.0, -0.0, 1.0, 2.0, -2.0, 1e10, 3e38, 1e39, 1e300]
_NUMBERS = st.sampled_from(_EDGES) | st.floats(allow_nan=False, allow_infinity=False)
_COUNTS = st.sampled_from([0, 1, -1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**40]) | st.integers()
_STOPS = st.lists(st.text(max_size=4), max_size=5) | st.sampled_from([["x" * 50_000], ["ab"] * 3000, ["\0"]])
_PROMPTS = st.text(min_size=1, max_size=40) | st.sampled_from(
    ["\0", "<|im_end|>" * 5, "<|endoftext|>", "word " * 5000, " " * 100_000, "\ufffd\uffff\U0010ffff"]
)
_PARAMETERS = st.fixed_dictionaries(
    {"max_new_tokens": st.integers(1, 4)},
    optional={
        "do_sample": st.booleans(),
        "temperature": _NUMBERS,
        "top_p": _NUMBERS,
        "top_k": _COUNTS,
        "repetition_penalty": _NUMBERS,
        "frequency_penalty": _NUMBERS,
        "presence_penalty": _NUMBERS,
        "seed": _COUNTS,
        "best_of": _COUNTS,
        "truncate": _COUNTS,
        "stop": _STOPS,
    },
)
_WHOLE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None, database=None
)


class Neighbour:
    """Asks for the same greedy answer again and again, while the block runs, and looks at every one."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self._over = False

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._ask())
        await asyncio.sleep(0)

    async def _ask(self) -> None:
        while not self._over:
            answer = await self._client.post("/generate", json=NEIGHBOUR)
            assert answer.status_code == 200, answer.text
            assert answer.json()["generated_text"] == NEIGHBOURS_TEXT

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await self._task


@pytest.fixture(autouse=True)
def _same_model(served: Any) -> Any:
    """Whatever a test does, the model is not loaded again."""
    before = served.assembly.service.tokenizer
    yield
    assert served.assembly.service.readiness.is_ready
    assert served.assembly.service.tokenizer is before


Beside = Callable[[str, bytes], httpx2.Response]


@pytest.fixture
def beside(served: Any) -> Iterator[Beside]:
    """Return post(path, body), while a neighbour asks."""
    client = httpx2.AsyncClient(base_url=served.url, timeout=60)

    async def post(path: str, body: bytes) -> httpx2.Response:
        async with Neighbour(client):
            return await client.post(path, content=body)

    with asyncio.Runner() as runner:
        yield lambda path, body: runner.run(post(path, body))
        runner.run(client.aclose())


def is_answer_or_refusal(answer: httpx2.Response) -> None:
    assert answer.status_code in (200, 422), answer.text[:300]
    if answer.status_code == 422:
        assert answer.json()["error_type"] == "validation"


@_WHOLE
@example(prompt="a", parameters={"temperature": 1e-60, "max_new_tokens": 2})
@example(prompt="a", parameters={"top_k": 2**64, "max_new_tokens": 2})
@example(prompt="a", parameters={"temperature": 1e-10, "repetition_penalty": 1e-10, "max_new_tokens": 2})
@example(prompt="a", parameters={"temperature": 1e10, "top_p": 1e-10, "top_k": 1, "max_new_tokens": 2})
@given(prompt=_PROMPTS, parameters=_PARAMETERS)
def test_any_parameters(beside: Beside, prompt: str, parameters: dict[str, Any]) -> None:
    body = json.dumps({"inputs": prompt, "parameters": parameters}).encode()
    is_answer_or_refusal(beside("/generate", body))


@_WHOLE
@given(content=_PROMPTS, temperature=_NUMBERS, top_p=_NUMBERS, seed=_COUNTS, stop=_STOPS)
def test_any_chat(beside: Beside, content: str, **more: Any) -> None:
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 2, **more}
    is_answer_or_refusal(beside("/v1/chat/completions", json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("temperature", 1e-60, "must be >= 1e-10 and <= 10000000000.0. Given: 1e-60"),
        ("top_p", 1e-46, "must be >= 1e-10 and <= 1.0. Given: 1e-46"),
        ("top_k", 2**64, f"must be >= 1 and <= {2**31 - 1}. Given: {2**64}"),
        ("repetition_penalty", 1e39, "must be >= 1e-10 and <= 10000000000.0. Given: 1e+39"),
        ("seed", 2**63, f"must be >= 0 and <= {2**63 - 1}. Given: {2**63}"),
    ],
)
async def test_a_refusal_names_the_parameter_and_its_bounds(
    http: httpx2.AsyncClient, name: str, value: float, told: str
) -> None:
    answer = await http.post("/generate", json={"inputs": "a", "parameters": {name: value}})
    assert answer.status_code == 422
    assert f"`{name}` {told}" in answer.json()["error"]


@pytest.mark.parametrize(
    "parameters",
    [
        b'{"temperature": 1e999}',
        b'{"temperature": NaN}',
        b'{"top_k": ' + b"9" * 10_000 + b"}",
        b'{"top_k": 1.5}',
        b'{"seed": -1e400}',
        b'{"stop": "not a list"}',
        b'{"stop": ["\\ud800"]}',
        b'{"grammar": {"type": "regex", "value": "("}}',
    ],
)
@pytest.mark.parametrize("path", ["/generate", "/generate_stream"])
def test_what_is_no_number_or_text_is_refused(beside: Beside, path: str, parameters: bytes) -> None:
    body = b'{"inputs": "a", "parameters": ' + parameters + b"}"
    assert beside(path, body).status_code == 422


async def test_a_long_text_is_counted_while_others_get_their_text(served: Any) -> None:
    """It takes half a second of one core; see `LongWork`."""
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as client, Neighbour(client):
        whole = json.dumps({"inputs": " " * 400_000}).encode()
        counting = asyncio.create_task(client.post("/tokenize", content=whole))
        answered = 0
        while not counting.done():
            assert (await client.get("/livez")).status_code == 200
            answered += 1
        assert (await counting).status_code == 200
    assert answered > 5


async def test_too_many_long_texts_at_once_are_refused(served: Any) -> None:
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as client:
        body = json.dumps({"inputs": " " * 10_000}).encode()
        answers = await asyncio.gather(*(client.post("/tokenize", content=body) for _ in range(40)))
    assert {answer.status_code for answer in answers} == {200, 429}

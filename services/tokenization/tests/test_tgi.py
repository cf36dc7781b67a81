"""The backend's tokenizer over HTTP: counts without the gap, kept limits, and what failures become."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from libs.clients.tests.raw_server import Answer, answer, serving
from penstock.clients.tgi import TgiServer
from penstock.messages.chat import Message
from penstock.streaming.errors import PermanentError, TransientError
from penstock.tokenization.adapters.tgi import LIMITS_SECONDS, TgiModel
from penstock.tokenization.domain import Limits

HI = (Message(role="user", content="Hi"),)
CHAT = answer(
    200,
    b'{"templated_text":"<user>GAPHi","tokenize_response":'
    b'[{"start":0,"stop":6},{"start":6,"stop":8},{"start":8,"stop":9},{"start":9,"stop":11}]}',
)
INFO = answer(200, b'{"max_input_tokens":10,"max_total_tokens":12,"model_id":"m"}')


class Scene:
    """Servers that are asked in turn."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.now = 0.0

    async def model(self, *servers: Answer) -> TgiModel:
        """Return a model by servers that each answer one thing, again and again."""
        asked = []
        for given in servers:
            server = await self._stack.enter_async_context(serving(given))
            asked.append(TgiServer(server.url))
            self._stack.push_async_callback(asked[-1].close)
        return TgiModel(asked, lambda: self.now)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        yield Scene(stack)


async def test_the_tokens_of_the_gap_are_not_counted(scene: Scene) -> None:
    templated = await (await scene.model(CHAT)).chat(HI, "GAP")
    assert (templated.text, templated.tokens) == ("<user>GAPHi", 2)


async def test_limits_are_asked_for_now_and_then(scene: Scene) -> None:
    model = await scene.model(INFO)
    assert await model.limits() == Limits(10, 12, "m")
    scene.now = LIMITS_SECONDS + 1
    assert await model.limits() == Limits(10, 12, "m")


@pytest.mark.parametrize("status", [429, 500, 503, 401])
async def test_the_next_server_is_asked_when_one_is_busy_or_away(scene: Scene, status: int) -> None:
    trouble = answer(status, b"")
    model = await scene.model(trouble, CHAT)
    assert (await model.chat(HI, "GAP")).tokens == 2
    with pytest.raises(TransientError, match=f"backend_unavailable.*{status}"):
        await (await scene.model(trouble, trouble)).chat(HI, "GAP")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (answer(422, b'{"error":"a canary sings"}'), "backend_refused"),
        (answer(404, b""), "backend_dialect"),
        (answer(200, b"{}"), "backend_dialect"),
    ],
)
async def test_no_other_server_is_asked_when_none_can_help(scene: Scene, given: Answer, code: str) -> None:
    with pytest.raises(PermanentError, match=code) as raised:
        await (await scene.model(given, CHAT)).chat(HI, "GAP")
    assert "canary" not in str(raised.value)

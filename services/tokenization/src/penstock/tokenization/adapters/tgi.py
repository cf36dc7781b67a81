"""The tokenizer and limits of a backend that speaks Text Generation Inference's dialect.

`/chat_tokenize` returns the templated text with its tokens, so every backend brings its own chat template
and nothing here has to match a model.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import httpx2
import msgspec

from penstock.messages.chat import Message
from penstock.streaming.errors import PermanentError, TransientError
from penstock.tokenization.domain import Limits, Templated

LIMITS_SECONDS = 30.0
T = TypeVar("T", bound=msgspec.Struct)
_UNAVAILABLE = (429, 502, 503, 504)


class _Info(msgspec.Struct):
    max_input_tokens: int
    max_total_tokens: int


class _Token(msgspec.Struct):
    start: int
    stop: int


class _ChatTokens(msgspec.Struct):
    tokenize_response: list[_Token]
    templated_text: str


class TgiModel:
    """Port: Model. Asks the first of `urls` that answers."""

    def __init__(
        self, client: httpx2.AsyncClient, urls: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._urls = urls
        self._clock = clock
        self._limits: tuple[float, Limits] | None = None

    async def limits(self) -> Limits:
        if self._limits is None or self._clock() > self._limits[0]:
            info = _decode(await self._ask("GET", "/info", None), _Info)
            limits = Limits(info.max_input_tokens, info.max_total_tokens)
            self._limits = (self._clock() + LIMITS_SECONDS, limits)
        return self._limits[1]

    async def chat(self, messages: Sequence[Message], gap: str) -> Templated:
        body = msgspec.json.encode({"messages": messages})
        tokens = _decode(await self._ask("POST", "/chat_tokenize", body), _ChatTokens)
        start = tokens.templated_text.find(gap)
        counted = [t for t in tokens.tokenize_response if t.stop <= start or t.start >= start + len(gap)]
        return Templated(tokens.templated_text, max(1, len(counted)))

    async def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        reason = ""
        for url in self._urls:
            try:
                response = await self._client.request(
                    method, url + path, content=body, headers={"content-type": "application/json"}
                )
            except httpx2.HTTPError as error:
                reason = f"{url}: {type(error).__name__}"
                continue
            if response.status_code == 200:
                return response.content
            if response.status_code not in _UNAVAILABLE:
                raise PermanentError(
                    "backend_refused", f"The model server answered {path} with {response.status_code}."
                )
            reason = f"{url}: {response.status_code}"
        raise TransientError("backend_unavailable", f"No model server is available ({reason}).")


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise PermanentError("backend_dialect", f"The model server does not speak TGI: {error}") from error

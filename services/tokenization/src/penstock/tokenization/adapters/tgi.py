"""The tokenizer and limits of a backend that speaks Text Generation Inference's dialect.

`/chat_tokenize` returns the templated text with its tokens, so every backend brings its own chat template
and nothing here has to match a model.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from penstock.clients.errors import Busy, Codes, ModelServerError, Unavailable, handler_error
from penstock.clients.tgi import TgiServer
from penstock.messages.chat import Message
from penstock.streaming.errors import TransientError
from penstock.tokenization.domain import Limits, Templated

LIMITS_SECONDS = 30.0
CODES = Codes("The model server", "backend_refused", "backend_unavailable", "backend_dialect")
T = TypeVar("T")


class _Info(msgspec.Struct):
    max_input_tokens: int
    max_total_tokens: int
    model_id: str = ""


class TgiModel:
    """Port: Model. Asks the first of the servers that answers."""

    def __init__(self, servers: Sequence[TgiServer], clock: Callable[[], float] = time.monotonic) -> None:
        self._servers = servers
        self._clock = clock
        self._limits: tuple[float, Limits] | None = None

    async def limits(self) -> Limits:
        if self._limits is None or self._clock() > self._limits[0]:
            info = await self._first(lambda server: server.info(_Info))
            limits = Limits(info.max_input_tokens, info.max_total_tokens, info.model_id)
            self._limits = (self._clock() + LIMITS_SECONDS, limits)
        return self._limits[1]

    async def chat(self, messages: Sequence[Message], gap: str) -> Templated:
        tokens = await self._first(lambda server: server.chat_tokenize(messages))
        start = tokens.templated_text.find(gap)
        counted = [t for t in tokens.tokenize_response if t.stop <= start or t.start >= start + len(gap)]
        return Templated(tokens.templated_text, max(1, len(counted)))

    async def _first(self, ask: Callable[[TgiServer], Awaitable[T]]) -> T:
        reason = ""
        for server in self._servers:
            try:
                return await ask(server)
            except (Busy, Unavailable) as error:
                reason = f"{server.url}: {error.why}"
            except ModelServerError as error:
                raise handler_error(error, CODES) from error
        raise TransientError(CODES.unavailable, f"No model server is available ({reason}).")

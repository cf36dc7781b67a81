"""Text Generation Inference's dialect: what a server serves, tokens of a text and of a chat, and answers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import TypeVar

import msgspec
from pydantic import SecretStr

from penstock.clients.errors import ModelServerError, WrongDialect, of_stream
from penstock.clients.pauses import Seconds, without_pause
from penstock.clients.server import ModelServer

_TOKENS_BYTES = 32 << 20
_END_SECONDS = 0.05
"""For so long the end of a stream is waited for after its last event, so that the connection can be kept."""

T = TypeVar("T", bound=msgspec.Struct)


class Span(msgspec.Struct, gc=False):
    """Where a token lies in a text, in characters."""

    start: int
    stop: int


class ChatTokens(msgspec.Struct):
    """Messages in the model's chat template, and the tokens of that text."""

    tokenize_response: list[Span]
    templated_text: str


class Parameters(msgspec.Struct, omit_defaults=True, kw_only=True):
    """How an answer is written; what is not said is the server's choice. Names are TGI's."""

    max_new_tokens: int | None = None
    do_sample: bool = False
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()


class Token(msgspec.Struct, gc=False):
    """One token; the text of a special one is for no reader."""

    text: str
    special: bool = False


class Details(msgspec.Struct, gc=False):
    """Why an answer has ended, and how many tokens it has."""

    finish_reason: str
    generated_tokens: int


class StreamEvent(msgspec.Struct, gc=False):
    """One event of a stream: a token, with `details` if it is the last one, or an error."""

    token: Token | None = None
    details: Details | None = None
    error: str | None = None
    error_type: str = ""


_EVENT = msgspec.json.Decoder(StreamEvent)
_SPANS = msgspec.json.Decoder(list[Span])
_CHAT = msgspec.json.Decoder(ChatTokens)


class TgiServer:
    """A server that speaks TGI's dialect. All calls raise ModelServerError."""

    def __init__(self, url: str, key: SecretStr | None = None, seconds: float = 60.0) -> None:
        self._server = ModelServer(url, key, seconds)

    @property
    def url(self) -> str:
        """Its base URL."""
        return self._server.url

    async def info(self, kind: type[T]) -> T:
        """Return what of `/info` is wanted."""
        return await self._server.ask("/info", msgspec.json.Decoder(kind))

    async def tokenize(self, text: str) -> list[Span]:
        """Return the tokens of a text, in order."""
        body = msgspec.json.encode({"inputs": text, "add_special_tokens": False})
        return await self._server.ask("/tokenize", _SPANS, body, _TOKENS_BYTES)

    async def chat_tokenize(self, messages: Sequence[object]) -> ChatTokens:
        """Return messages in the model's chat template."""
        body = msgspec.json.encode({"messages": messages})
        return await self._server.ask("/chat_tokenize", _CHAT, body, _TOKENS_BYTES)

    async def generate_stream(
        self, prompt: str, parameters: Parameters, pause: Seconds = without_pause
    ) -> AsyncGenerator[list[StreamEvent], None]:
        """Yield the tokens that continue a prompt, those of one read together; the last one has `details`.

        Between two reads there is a `pause`, unless the stream has ended. A stream that breaks off ends
        without. Closing it frees the server's slot.
        """
        given = {**msgspec.to_builtins(parameters), "details": True, "return_full_text": False}
        body = msgspec.json.encode({"inputs": prompt, "parameters": given, "stream": True})
        async with aclosing(self._server.stream("/generate_stream", body, pause)) as reads:
            async for read in reads:
                events, failure = _decoded(read)
                if events:
                    yield events
                if failure is not None:
                    raise failure
                if events[-1].details is not None:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_END_SECONDS):
                            await anext(reads, None)
                    return

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()


def _decoded(read: list[bytes]) -> tuple[list[StreamEvent], ModelServerError | None]:
    """Return the tokens of one read up to the last of the answer, and what went wrong after them."""
    tokens: list[StreamEvent] = []
    for data in read:
        try:
            event = _EVENT.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return tokens, WrongDialect("an event that is none of TGI's")
        if event.error is not None:
            return tokens, of_stream(event.error_type, event.error)
        if event.token is None:
            return tokens, WrongDialect("an event without a token")
        tokens.append(event)
        if event.details is not None:
            break
    return tokens, None

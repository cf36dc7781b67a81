"""The two arms: a model server asked directly, and through Penstock. One client reads both streams."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import httpx2
import msgspec

from e2e.bench.errors import BenchError
from e2e.bench.figures import Reply


class Target(Protocol):
    """Something that answers question number `nth`."""

    async def ask(self, nth: int, max_tokens: int) -> Reply:
        """Return one whole answer. Raises BenchError if it is not one."""


class _Token(msgspec.Struct):
    text: str
    special: bool


class _Details(msgspec.Struct):
    generated_tokens: int


class _TgiEvent(msgspec.Struct):
    token: _Token | None = None
    details: _Details | None = None
    error: str | None = None


class _Delta(msgspec.Struct):
    content: str = ""


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int


class _Error(msgspec.Struct):
    message: str


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: _Error | None = None


_TGI = msgspec.json.Decoder(_TgiEvent)
_CHUNK = msgspec.json.Decoder(_Chunk)


def new_client() -> httpx2.AsyncClient:
    """A client for many streams at once, which no proxy setting diverts."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=60)
    return httpx2.AsyncClient(limits=limits, timeout=httpx2.Timeout(120.0), trust_env=False)


@dataclass(frozen=True)
class Direct:
    """TGI's ``/generate_stream``. Question number n is the prompt number n, beginning again at the end."""

    client: httpx2.AsyncClient
    url: str
    prompts: Callable[[int], str]

    async def ask(self, nth: int, max_tokens: int) -> Reply:
        """Return one whole answer. Raises BenchError if it is not one."""
        parameters = {"max_new_tokens": max_tokens, "details": True, "do_sample": False}
        body = msgspec.json.encode({"inputs": self.prompts(nth), "parameters": parameters})
        reads: list[tuple[float, int]] = []
        generated: int | None = None
        started = time.perf_counter()
        async for moment, events in _stream(self.client, f"{self.url}/generate_stream", body, {}):
            tokens = 0
            for data in events:
                event = _TGI.decode(data)
                if event.error is not None:
                    raise BenchError(f"The model server broke off: {event.error}")
                tokens += event.token is not None and not event.token.special
                generated = event.details.generated_tokens if event.details else generated
            if tokens:
                reads.append((moment, tokens))
        return _reply("The model server", started, reads, generated)


@dataclass(frozen=True)
class Through:
    """Penstock's ``/v1/chat/completions``. `words_are_tokens` holds for the stub.

    Whether a request is `traced` is left to the settings of the stack (None), or said with it.
    """

    client: httpx2.AsyncClient
    url: str
    key: str
    model: str
    messages: Callable[[int], Sequence[dict[str, str]]]
    words_are_tokens: bool
    traced: bool | None = None

    async def ask(self, nth: int, max_tokens: int) -> Reply:
        """Return one whole answer. Raises BenchError if it is not one."""
        request = {
            "model": self.model,
            "messages": self.messages(nth),
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        if self.traced is not None:
            ids = f"{secrets.token_hex(16)}-{secrets.token_hex(8)}"
            headers["traceparent"] = f"00-{ids}-{self.traced:02x}"
        body = msgspec.json.encode(request)
        reads: list[tuple[float, int]] = []
        generated: int | None = None
        started = time.perf_counter()
        async for moment, events in _stream(self.client, f"{self.url}/v1/chat/completions", body, headers):
            amount = 0
            for data in events:
                if data == b"[DONE]":
                    continue
                chunk = _CHUNK.decode(data)
                if chunk.error is not None:
                    raise BenchError(f"Penstock broke off: {chunk.error.message}")
                amount += sum(self._amount(choice.delta.content) for choice in chunk.choices)
                generated = chunk.usage.completion_tokens if chunk.usage else generated
            if amount:
                reads.append((moment, amount))
        reply = _reply("Penstock", started, reads, generated)
        counted = sum(amount for _, amount in reads)
        if self.words_are_tokens and counted != reply.tokens:
            raise BenchError(f"An answer of {reply.tokens} tokens arrived with {counted}")
        return reply

    def _amount(self, text: str) -> int:
        return len(text.split()) if self.words_are_tokens else len(text)


def _reply(name: str, started: float, reads: list[tuple[float, int]], generated: int | None) -> Reply:
    if generated is None:
        raise BenchError(f"{name} ended a stream before its answer was whole")
    # A model may have nothing to say but its end.
    return Reply(started, tuple(reads) or ((time.perf_counter(), 0),), generated)


async def _stream(
    client: httpx2.AsyncClient, url: str, body: bytes, headers: dict[str, str]
) -> AsyncIterator[tuple[float, list[bytes]]]:
    """Yield the data of the server-sent events of each read, with the moment of the read."""
    try:
        async with client.stream("POST", url, content=body, headers=headers) as response:
            if response.status_code != 200:
                said = (await response.aread())[:300].decode(errors="replace")
                raise BenchError(f"HTTP {response.status_code} instead of a stream: {said}")
            rest = b""
            async for data in response.aiter_raw():
                moment = time.perf_counter()
                *events, rest = (rest + data).split(b"\n\n")
                yield moment, [data for event in events if (data := _data(event))]
    except httpx2.HTTPError as error:
        raise BenchError(f"A stream failed: {type(error).__name__} {error}") from error


def _data(event: bytes) -> bytes:
    """Return the data of one server-sent event, whose other lines (its id, comments) cost nothing here."""
    _, found, data = event.rpartition(b"data:")
    return data.strip() if found else b""

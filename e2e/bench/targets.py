"""The arms: a model server asked directly or by way of a proxy, and Penstock. One client reads them all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from e2e.bench.client import Client, Streamed
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
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Direct:
    """TGI's ``/generate_stream``. Question number n is the prompt number n, beginning again at the end."""

    client: Client
    prompts: Callable[[int], str]

    async def ask(self, nth: int, max_tokens: int) -> Reply:
        """Return one whole answer. Raises BenchError if it is not one."""
        parameters = {"max_new_tokens": max_tokens, "details": True, "do_sample": False}
        body = msgspec.json.encode({"inputs": self.prompts(nth), "parameters": parameters})
        response = await self.client.post("/generate_stream", body, _JSON)
        reads: list[tuple[float, int]] = []
        generated: int | None = None
        for moment, events in _events(response):
            tokens = 0
            for data in events:
                event = _TGI.decode(data)
                if event.error is not None:
                    raise BenchError(f"The model server broke off: {event.error}")
                tokens += event.token is not None and not event.token.special
                generated = event.details.generated_tokens if event.details else generated
            if tokens:
                reads.append((moment, tokens))
        return _reply("The model server", response, reads, generated)


@dataclass(frozen=True)
class Through:
    """Penstock's ``/v1/chat/completions``. `words_are_tokens` holds for the stub.

    Whether a request is `traced` is left to the settings of the stack (None), or said with it.
    """

    client: Client
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
        headers = _JSON | {"authorization": f"Bearer {self.key}"}
        if self.traced is not None:
            ids = f"{secrets.token_hex(16)}-{secrets.token_hex(8)}"
            headers["traceparent"] = f"00-{ids}-{self.traced:02x}"
        response = await self.client.post("/v1/chat/completions", msgspec.json.encode(request), headers)
        reads: list[tuple[float, int]] = []
        generated: int | None = None
        for moment, events in _events(response):
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
        reply = _reply("Penstock", response, reads, generated)
        counted = sum(amount for _, amount in reads)
        if self.words_are_tokens and counted != reply.tokens:
            raise BenchError(f"An answer of {reply.tokens} tokens arrived with {counted}")
        return reply

    def _amount(self, text: str) -> int:
        return len(text.split()) if self.words_are_tokens else len(text)


def _reply(name: str, response: Streamed, reads: list[tuple[float, int]], generated: int | None) -> Reply:
    if generated is None:
        raise BenchError(f"{name} ended a stream before its answer was whole")
    # A model may have nothing to say but its end.
    return Reply(response.started, tuple(reads) or ((response.reads[-1][0], 0),), generated)


def _events(response: Streamed) -> Iterator[tuple[float, list[bytes]]]:
    """Yield the data of the server-sent events that each read completed, with the moment of the read."""
    if response.status != 200:
        said = b"".join(data for _, data in response.reads)[:300].decode(errors="replace")
        raise BenchError(f"HTTP {response.status} instead of a stream: {said}")
    rest = b""
    for moment, data in response.reads:
        *events, rest = (rest + data).split(b"\n\n")
        yield moment, [data for event in events if (data := _data(event))]


def _data(event: bytes) -> bytes:
    """Return the data of one server-sent event, whose other lines (its id, comments) cost nothing here."""
    _, found, data = event.rpartition(b"data:")
    return data.strip() if found else b""

"""Asks the gateway one question in OpenAI's dialect and yields the answer as it arrives."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
import msgspec

from penstock.devstack.errors import DevstackError

_CONNECT_TIMEOUT_S = 5.0
_SILENCE_TIMEOUT_S = 150.0
"""Longer than a request's deadline in the gateway: its own error should come first."""


class Citation(msgspec.Struct, frozen=True):
    """A passage that supports the answer; ``start`` and ``end`` are characters in the document."""

    index: int
    document_id: str
    title: str
    start: int
    end: int
    quote: str


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Error(msgspec.Struct):
    message: str
    type: str | None = None
    code: str | int | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    citations: tuple[Citation, ...] = ()
    error: _Error | None = None


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


class _ErrorBody(msgspec.Struct):
    error: _Error


@dataclass(frozen=True)
class Question:
    """What to ask; None leaves a choice to the gateway."""

    text: str
    model: str
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True)
class Text:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True)
class Ended:
    """The answer is complete."""

    finish_reason: str | None
    citations: tuple[Citation, ...]


async def ask(url: str, key: str, question: Question) -> AsyncIterator[Text | Ended]:
    """Yields Text pieces and at last one Ended; DevstackError with one clear line for everything else."""
    async with _client(url, key) as client:
        async for part in _stream(client, _body(question)):
            yield part


async def first_model(url: str, key: str) -> str:
    """The name of the first model that the gateway offers; DevstackError if there is none."""
    async with _client(url, key) as client:
        response = await client.get("/v1/models")
        _raise_for_error(response, response.content)
        models = msgspec.json.decode(response.content, type=_Models).data
    if not models:
        raise DevstackError("The gateway offers no model yet: name one with --model")
    return models[0].id


@asynccontextmanager
async def _client(url: str, key: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client whose errors are one line each."""
    timeout = httpx2.Timeout(_SILENCE_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx2.AsyncClient(
            base_url=url, headers=headers, timeout=timeout, trust_env=not is_local(url)
        ) as client:
            yield client
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise DevstackError(f"No gateway answers at {url}: start it with `penstock up`") from error
    except httpx2.TimeoutException as error:
        raise DevstackError(f"The gateway sent nothing for {_SILENCE_TIMEOUT_S:.0f} s") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise DevstackError(f"The connection to {url} failed: {error}") from error
    except msgspec.DecodeError as error:
        raise DevstackError(f"{url} does not answer like Penstock's gateway: {error}") from error


def is_local(url: str) -> bool:
    """True for this machine's own addresses, to which no proxy setting applies."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _body(question: Question) -> dict[str, object]:
    body: dict[str, object] = {
        "model": question.model,
        "messages": [{"role": "user", "content": question.text}],
        "stream": True,
    }
    if question.max_tokens is not None:
        body["max_tokens"] = question.max_tokens
    if question.temperature is not None:
        body["temperature"] = question.temperature
    return body


async def _stream(client: httpx2.AsyncClient, body: dict[str, object]) -> AsyncIterator[Text | Ended]:
    finish_reason: str | None = None
    citations: tuple[Citation, ...] = ()
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            _raise_for_error(response, await response.aread())
        async for event in httpx2.EventSource(response):
            if event.data == "[DONE]":
                yield Ended(finish_reason, citations)
                return
            chunk = msgspec.json.decode(event.data, type=_Chunk)
            if chunk.error is not None:
                raise DevstackError(_describe(chunk.error))
            citations = chunk.citations or citations
            for choice in chunk.choices:
                finish_reason = choice.finish_reason or finish_reason
                if choice.delta.content:
                    yield Text(choice.delta.content)
    raise DevstackError("The answer was cut off: the gateway closed the stream before its end")


def _raise_for_error(response: httpx2.Response, body: bytes) -> None:
    if response.status_code == 200:
        return
    try:
        error = msgspec.json.decode(body, type=_ErrorBody).error
    except msgspec.DecodeError:
        raise DevstackError(f"The gateway answered HTTP {response.status_code}") from None
    raise DevstackError(_describe(error, response.status_code))


def _describe(error: _Error, status: int | None = None) -> str:
    kind = error.code or error.type
    details = [str(kind)] if kind else []
    details += [f"HTTP {status}"] if status else []
    return f"{error.message} ({', '.join(details)})" if details else error.message

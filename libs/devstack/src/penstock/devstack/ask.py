"""Asks the gateway one question in OpenAI's dialect and yields the answer as it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import msgspec

from penstock.devstack.errors import DevstackError
from penstock.devstack.gateway import GatewayError, connected, describe, raise_for_error


class Citation(msgspec.Struct, frozen=True):
    """A passage that supports the answer; ``start`` and ``end`` are characters in the document.

    ``page`` counts from 1, where there are pages; ``headings`` are those above, outermost first.
    """

    index: int
    document_id: str
    title: str
    start: int
    end: int
    quote: str
    filename: str | None = None
    page: int | None = None
    headings: tuple[str, ...] = ()


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    citations: tuple[Citation, ...] = ()
    grounding: str | None = None
    error: GatewayError | None = None


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


@dataclass(frozen=True)
class Question:
    """What to ask; None leaves a choice to the gateway."""

    text: str
    model: str
    max_tokens: int | None = None
    temperature: float | None = None
    answers: str | None = None
    fallback: str | None = None


@dataclass(frozen=True)
class Text:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True)
class Ended:
    """The answer is complete."""

    finish_reason: str | None
    citations: tuple[Citation, ...]
    grounding: str | None = None


async def ask(url: str, key: str, question: Question) -> AsyncIterator[Text | Ended]:
    """Yields Text pieces and at last one Ended; DevstackError with one clear line for everything else."""
    async with connected(url, key) as client:
        async for part in _stream(client, _body(question)):
            yield part


async def first_model(url: str, key: str) -> str:
    """The name of the first model that the gateway offers; DevstackError if there is none."""
    async with connected(url, key) as client:
        response = await client.get("/v1/models")
        raise_for_error(response, response.content)
        models = msgspec.json.decode(response.content, type=_Models).data
    if not models:
        raise DevstackError("The gateway offers no model yet: name one with --model")
    return models[0].id


def _body(question: Question) -> dict[str, object]:
    body: dict[str, object] = {
        "model": question.model,
        "messages": [{"role": "user", "content": question.text}],
        "stream": True,
    }
    for name in ("max_tokens", "temperature", "answers", "fallback"):
        if (given := getattr(question, name)) is not None:
            body[name] = given
    return body


async def _stream(client: httpx2.AsyncClient, body: dict[str, object]) -> AsyncIterator[Text | Ended]:
    finish_reason: str | None = None
    citations: tuple[Citation, ...] = ()
    grounding: str | None = None
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            raise_for_error(response, await response.aread())
        async for event in httpx2.EventSource(response):
            if event.data == "[DONE]":
                yield Ended(finish_reason, citations, grounding)
                return
            chunk = msgspec.json.decode(event.data, type=_Chunk)
            if chunk.error is not None:
                raise DevstackError(describe(chunk.error))
            citations = chunk.citations or citations
            grounding = chunk.grounding or grounding
            for choice in chunk.choices:
                finish_reason = choice.finish_reason or finish_reason
                if choice.delta.content:
                    yield Text(choice.delta.content)
    raise DevstackError("The answer was cut off: the gateway closed the stream before its end")

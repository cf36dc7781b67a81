"""Clients that know nothing of Penstock: OpenAI's library as it comes, which asks and reads its stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from openai import AsyncOpenAI, DefaultAsyncHttpxClient, OpenAIError

from e2e.stub.scripted import Script, expected, mark


@dataclass(frozen=True)
class Tried:
    """One question and what came of it: the text that was read, its longest silence in seconds, an error."""

    script: Script
    text: str
    finish_reason: str | None
    pause_s: float
    error: str = ""


def failures(tried: list[Tried]) -> Iterator[str]:
    """A line for each question that was not answered with its one right answer."""
    for one in tried:
        whole = expected(one.script)
        if one.error:
            yield f"{one.script.name}: {one.error}"
        elif (one.text, one.finish_reason) != (whole.text, whole.finish_reason):
            yield (
                f"{one.script.name}: {len(one.text)} characters, {one.finish_reason}, instead of"
                f" {len(whole.text)}, {whole.finish_reason}"
            )


async def asking(
    base: str, key: str, model: str, name: str, stop: asyncio.Event, retries: int = 2
) -> list[Tried]:
    """Ask one question after the other until `stop`; `retries` is the library's own number (2 by default)."""
    random = Random(name)  # noqa: S311  # no secret
    tried: list[Tried] = []
    http = DefaultAsyncHttpxClient(trust_env=False)
    async with AsyncOpenAI(
        base_url=f"{base}/v1", api_key=key, max_retries=retries, http_client=http
    ) as client:
        while not stop.is_set():
            script = Script(f"{name}-{len(tried)}", random.randint(20, 80))
            tried.append(await _ask(client, model, script))
    return tried


async def _ask(client: AsyncOpenAI, model: str, script: Script) -> Tried:
    text, reason, pause = "", None, 0.0
    last: float | None = None
    try:
        stream = await client.chat.completions.create(
            model=model, stream=True, messages=[{"role": "user", "content": f"What is it? {mark(script)}"}]
        )
        async for chunk in stream:
            for choice in chunk.choices:
                reason = choice.finish_reason or reason
                if choice.delta.content:
                    now = time.monotonic()
                    pause, last = max(pause, now - (last or now)), now
                    text += choice.delta.content
    except OpenAIError as error:
        return Tried(script, text, reason, pause, f"{type(error).__name__}: {error}")
    return Tried(script, text, reason, pause)

"""The server-sent events of a streamed answer, as a client reads them (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import aiohttp
import msgspec


class Delta(msgspec.Struct):
    """`choices[].delta`."""

    content: str = ""


class Choice(msgspec.Struct):
    """`choices[]`."""

    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    """`usage`."""

    completion_tokens: int


class Error(msgspec.Struct):
    """`error`; code may be missing."""

    message: str = ""
    code: str | int | None = None


class Chunk(msgspec.Struct):
    """One chunk, or an error in its place."""

    id: str = ""
    choices: list[Choice] = []
    usage: Usage | None = None
    error: Error | None = None


class Message(msgspec.Struct):
    """`choices[].message`."""

    content: str = ""


class WholeChoice(msgspec.Struct):
    """`choices[]` of an answer in one piece."""

    message: Message
    finish_reason: str | None = None


class Completion(msgspec.Struct):
    """An answer in one piece."""

    id: str
    choices: list[WholeChoice] = []
    usage: Usage | None = None


class Failure(msgspec.Struct):
    """The body of an error."""

    error: Error = msgspec.field(default_factory=Error)


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `id` is None where the server names none."""

    id: int | None
    data: bytes


class Cut(Exception):
    """The connection ended without the answer's end."""


def parse(block: bytes) -> ServerEvent | None:
    """Return the event in the lines between two blank ones; None for a comment."""
    event_id: int | None = None
    data: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"id":
            event_id = int(value)
    return ServerEvent(event_id, b"\n".join(data)) if data else None


async def events(reads: AsyncIterator[bytes]) -> AsyncGenerator[ServerEvent, None]:
    """Yield the events in what is read of a response. Raises Cut when the connection breaks."""
    rest = b""
    try:
        async for data in reads:
            *blocks, rest = (rest + data).split(b"\n\n")
            for block in blocks:
                event = parse(block)
                if event is not None:
                    yield event
    except aiohttp.ClientError as error:
        raise Cut(type(error).__name__) from error

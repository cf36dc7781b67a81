"""Answers and failures of a gateway, played by a small real HTTP server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.devstack.ask import Citation, Ended, Question, Text, ask, first_model
from penstock.devstack.errors import DevstackError
from penstock.devstack.gateway import is_local
from penstock.devstack.network import free_ports

CITATION = {"index": 1, "document_id": "d", "title": "KV cache", "start": 3, "end": 9, "quote": "a store"}


def sse(*bodies: object) -> bytes:
    lines = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return "".join(f"data: {line}\n\n" for line in lines).encode()


def delta(content: str | None, reason: str | None = None, **extra: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}], **extra}


class Gateway:
    """Answers every POST with ``body`` in small pieces and keeps the requests."""

    def __init__(self, status: str, content_type: str, body: bytes) -> None:
        self._head = (
            f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n".encode()
        )
        self._body = body
        self.requests: list[tuple[str, bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [
            line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length")
        ]
        self.requests.append((head, await reader.readexactly(int(lengths[0])) if lengths else b""))
        writer.write(self._head)
        for at in range(0, len(self._body), 7):
            writer.write(self._body[at : at + 7])
            await writer.drain()
        writer.close()


@asynccontextmanager
async def gateway(
    body: bytes, status: str = "200 OK", content_type: str = "text/event-stream"
) -> AsyncIterator[tuple[str, Gateway]]:
    fake = Gateway(status, content_type, body)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", fake


async def collect(url: str, **options: object) -> list[Text | Ended]:
    make: Callable[..., Question] = Question
    return [part async for part in ask(url, "key-1", make("Why?", "m", **options))]


async def test_the_answer_arrives_in_pieces_and_ends_with_its_citations() -> None:
    body = sse(
        delta(None), delta("A "), delta("store é."), delta(None, "stop", citations=[CITATION]), "[DONE]"
    )
    async with gateway(body) as (url, fake):
        parts = await collect(url, max_tokens=7)
    assert parts == [
        Text("A "),
        Text("store é."),
        Ended("stop", (Citation(1, "d", "KV cache", 3, 9, "a store"),)),
    ]
    head, sent = fake.requests[0]
    assert "\r\nauthorization: bearer key-1\r\n" in head.lower()
    assert json.loads(sent) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Why?"}],
        "stream": True,
        "max_tokens": 7,
    }


async def test_an_error_says_what_the_gateway_says() -> None:
    error = {
        "error": {"message": "Wrong API key", "type": "invalid_request_error", "code": "invalid_api_key"}
    }
    async with gateway(json.dumps(error).encode(), "401 Unauthorized", "application/json") as (url, _):
        with pytest.raises(DevstackError, match=r"^Wrong API key \(invalid_api_key, HTTP 401\)$"):
            await collect(url)
        with pytest.raises(DevstackError, match="Wrong API key"):
            await first_model(url, "")


async def test_an_error_in_the_middle_of_the_stream() -> None:
    error = {"error": {"message": "The backend is gone", "type": "server_error", "code": None}}
    async with gateway(sse(delta("A "), error)) as (url, _):
        with pytest.raises(DevstackError, match=r"^The backend is gone \(server_error\)$"):
            await collect(url)


async def test_a_stream_without_its_end_is_no_answer() -> None:
    async with gateway(sse(delta("A "))) as (url, _):
        with pytest.raises(DevstackError, match="cut off"):
            await collect(url)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"<html>", "502 Bad Gateway", "text/html"),
        (b"<html>", "200 OK", "text/html"),
        (sse("not json"), "200 OK", "text/event-stream"),
        (sse({"choices": 7}), "200 OK", "text/event-stream"),
    ],
)
async def test_something_else_than_a_gateway(body: bytes, status: str, kind: str) -> None:
    async with gateway(body, status, kind) as (url, _):
        with pytest.raises(DevstackError) as raised:
            await collect(url)
    assert "\n" not in str(raised.value)


async def test_no_gateway_at_all() -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(DevstackError, match=f"No gateway answers at {url}: start it with `penstock up`"):
        await collect(url)
    with pytest.raises(DevstackError):
        await collect("nonsense")


async def test_the_first_model_is_the_default() -> None:
    async with gateway(b'{"data":[{"id":"m-1"},{"id":"m-2"}]}', content_type="application/json") as (url, _):
        assert await first_model(url, "k") == "m-1"


def test_proxies_are_for_other_machines() -> None:
    assert is_local("http://127.0.0.1:8080")
    assert is_local("http://localhost")
    assert is_local("http://[::1]:80")
    assert not is_local("https://penstock.example")


async def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    answer = sse(*(delta(f"word {number} ") for number in range(20_000)), delta(None, "stop"), "[DONE]")
    async with gateway(answer) as (url, _):
        asking = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "penstock.devstack.cli", "ask", "What?"),
            *("--model", "m", "--url", url, "--key", "k"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PENSTOCK_STATE": str(tmp_path)},
        )
        assert asking.stdout is not None
        assert asking.stderr is not None
        assert await asking.stdout.read(10)
        asking.stdout._transport.close()  # type: ignore[attr-defined]  # as `head` does
        said = await asyncio.wait_for(asking.stderr.read(), 30)
        assert (await asking.wait(), said) == (141, b"")

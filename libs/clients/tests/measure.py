"""Processor time of HTTP clients for a model server, a request and a streamed token, side by side in one run.

`python -m libs.clients.tests.measure` starts the stub (`e2e.stub`) in a process of its own, runs each arm in
turn, several rounds, and prints the medians. What is counted is this process's time on the processor only.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import httptools
import httpx2
import msgspec
import uvloop
from huggingface_hub import AsyncInferenceClient

from penstock.clients.server import ModelServer

STREAMS, TOKENS, INTER_MS = 64, 64, 5
CALLS = 800
ROUNDS = 3
HEADERS = {"content-type": "application/json"}
QUESTION = msgspec.json.encode({"messages": [{"role": "user", "content": "Why do dams leak? " * 10}]})
PROMPT = msgspec.json.encode(
    {"inputs": "Why?", "parameters": {"max_new_tokens": TOKENS, "details": True}, "stream": True}
)


class Arm:
    """One client: `call` posts and reads the whole answer, `stream` reads an answer as it comes."""

    name = ""

    async def call(self, path: str, body: bytes) -> bytes:
        """Return the answer to a POST."""
        raise NotImplementedError

    async def stream(self, path: str, body: bytes) -> int:
        """Return how many events came."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connections."""


class Httpx(Arm):
    name = "httpx2 (h11)"

    def __init__(self, url: str) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=STREAMS)
        self._client = httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60, limits=limits)

    async def call(self, path: str, body: bytes) -> bytes:
        return (await self._client.post(path, content=body, headers=HEADERS)).content

    async def stream(self, path: str, body: bytes) -> int:
        async with self._client.stream("POST", path, content=body, headers=HEADERS) as response:
            return sum([piece.count(b"data:") async for piece in response.aiter_raw()])


class Hub(Arm):
    name = "huggingface-hub"

    def __init__(self, url: str) -> None:
        self._url = url

    async def stream(self, _path: str, _body: bytes) -> int:
        async with AsyncInferenceClient(self._url) as client:
            tokens = await client.text_generation("Why?", stream=True, details=True, max_new_tokens=TOKENS)
            return len([token async for token in tokens])


class Aiohttp(Arm):
    name = "aiohttp (llhttp)"

    def __init__(self, url: str) -> None:
        self._session = aiohttp.ClientSession(
            url, connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def call(self, path: str, body: bytes) -> bytes:
        async with self._session.post(path, data=body, headers=HEADERS) as response:
            return await response.read()

    async def close(self) -> None:
        await self._session.close()

    async def stream(self, path: str, body: bytes) -> int:
        count = 0
        async with self._session.post(path, data=body, headers=HEADERS) as response:
            while piece := await response.content.readany():
                count += piece.count(b"data:")
        return count


class _Exchange(asyncio.Protocol):
    """One connection, one request at a time: as little Python as can be around the parser."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.pieces: list[bytes] = []
        self.news = asyncio.get_running_loop().create_future()
        self.complete = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # of TCP

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)
        self._wake()

    def on_message_complete(self) -> None:
        self.complete = True
        self._parser = httptools.HttpResponseParser(self)
        self._wake()

    def _wake(self) -> None:
        if not self.news.done():
            self.news.set_result(None)

    async def read(self) -> bytes:
        while not self.pieces and not self.complete:
            self.news = asyncio.get_running_loop().create_future()
            await self.news
        pieces, self.pieces = self.pieces, []
        return b"".join(pieces)


class Httptools(Arm):
    name = "httptools (llhttp), bare protocol"

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._host, self._port = where.hostname or "", where.port or 80
        self._idle: list[_Exchange] = []

    @asynccontextmanager
    async def _asked(self, path: str, body: bytes) -> AsyncIterator[_Exchange]:
        if self._idle:
            exchange = self._idle.pop()
        else:
            _, exchange = await asyncio.get_running_loop().create_connection(
                _Exchange, self._host, self._port
            )
        exchange.complete = False
        head = f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n"
        exchange.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        yield exchange
        self._idle.append(exchange)

    async def call(self, path: str, body: bytes) -> bytes:
        async with self._asked(path, body) as exchange:
            pieces = []
            while piece := await exchange.read():
                pieces.append(piece)
            return b"".join(pieces)

    async def stream(self, path: str, body: bytes) -> int:
        count = 0
        async with self._asked(path, body) as exchange:
            while piece := await exchange.read():
                count += piece.count(b"data:")
        return count


class Ours(Arm):
    name = "penstock.clients, on aiohttp"

    def __init__(self, url: str) -> None:
        self._server = ModelServer(url)

    async def call(self, path: str, body: bytes) -> bytes:
        return await self._server.fetch(path, body)

    async def stream(self, path: str, body: bytes) -> int:
        return sum([len(found) async for found in self._server.stream(path, body)])

    async def close(self) -> None:
        await self._server.close()


ARMS: tuple[Callable[[str], Arm], ...] = (Httpx, Hub, Aiohttp, Httptools, Ours)


async def _busy_us(work: Awaitable[object]) -> float:
    began = time.process_time()
    await work
    return (time.process_time() - began) * 1e6


async def _calls(arm: Arm) -> None:
    for _ in range(CALLS // 8):
        await asyncio.gather(*(arm.call("/chat_tokenize", QUESTION) for _ in range(8)))


async def _streams(arm: Arm) -> None:
    counts = await asyncio.gather(*(arm.stream("/generate_stream", PROMPT) for _ in range(STREAMS)))
    assert counts == [TOKENS] * STREAMS, counts


async def _measure(url: str) -> None:
    arms = [make(url) for make in ARMS]
    for arm in arms:
        await _streams(arm)  # connections, caches
    figures: dict[str, tuple[list[float], list[float]]] = {arm.name: ([], []) for arm in arms}
    for _ in range(ROUNDS):
        for arm in arms:
            calls, streams = figures[arm.name]
            if not isinstance(arm, Hub):
                calls.append(await _busy_us(_calls(arm)) / CALLS)
            streams.append(await _busy_us(_streams(arm)) / (STREAMS * TOKENS))
    for arm in arms:
        await arm.close()
    print(f"{'client':36}{'us a request':>14}{'us a token':>14}")  # noqa: T201  # what it is for
    for name, (calls, streams) in figures.items():
        call = f"{statistics.median(calls):14.0f}" if calls else f"{'-':>14}"
        print(f"{name:36}{call}{statistics.median(streams):14.1f}")  # noqa: T201


def main() -> None:
    """Measure."""
    command = [sys.executable, "-m", "e2e.stub", "--inter-ms", str(INTER_MS), "--tokens", str(TOKENS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stub:  # noqa: S603  # our own
        assert stub.stdout is not None
        try:
            uvloop.run(_measure(stub.stdout.readline().strip()))
        finally:
            stub.terminate()


if __name__ == "__main__":
    main()

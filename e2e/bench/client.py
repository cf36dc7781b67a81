"""An HTTP client that costs little processor time, so that a load of thousands of reads a second is honest.

It keeps what arrives with the moment of its arrival; whoever asked looks into it when the answer is whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

from e2e.bench.errors import BenchError


@dataclass
class Streamed:
    """One response as it arrived: `reads` are its parts, each with its moment (`time.perf_counter`)."""

    started: float
    status: int = 0
    reads: list[tuple[float, bytes]] = field(default_factory=list)


class Client:
    """Posts to one host over kept connections: as many as there are requests at once."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._idle: list[_Connection] = []

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Streamed:
        """Return the whole response. Raises BenchError if the connection breaks off."""
        connection = await self._connection()
        lines = {"host": f"{self._host}:{self._port}", "content-length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        response = await connection.ask(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        self._idle.append(connection)
        return response

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        try:
            loop = asyncio.get_running_loop()
            return (await loop.create_connection(_Connection, self._host, self._port))[1]
        except OSError as error:
            raise BenchError(f"{self._host}:{self._port} cannot be reached: {error}") from error

    def close(self) -> None:
        """Close the connections, none of which may be in use."""
        for connection in self._idle:
            connection.close()


class _Connection(asyncio.Protocol):
    """One connection with one request at a time; also what `httptools` calls back."""

    def __init__(self) -> None:
        self.open = False
        self._response = Streamed(0.0)
        self._whole: asyncio.Future[Streamed] | None = None
        self._moment = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(BenchError(f"A connection broke off: {exc or 'closed'}"))

    def data_received(self, data: bytes) -> None:
        self._moment = time.perf_counter()
        self._parser.feed_data(data)

    async def ask(self, request: bytes) -> Streamed:
        self._parser = httptools.HttpResponseParser(self)
        self._whole = asyncio.get_running_loop().create_future()
        self._response = Streamed(time.perf_counter())
        self._transport.write(request)
        return await self._whole

    def close(self) -> None:
        self._transport.close()

    def on_headers_complete(self) -> None:
        self._response.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        reads = self._response.reads
        if reads and reads[-1][0] == self._moment:  # several chunks in one read
            reads[-1] = (self._moment, reads[-1][1] + body)
        else:
            reads.append((self._moment, body))

    def on_message_complete(self) -> None:
        self.open = self.open and self._parser.should_keep_alive()
        if self._whole is not None and not self._whole.done():
            self._whole.set_result(self._response)

"""Serves the stub over HTTP/1.1: in a process of its own, or inside a test's event loop.

No server framework: a token is one timer and one write, without a task, so that the 12,000 of them a second
that 64 streams with 5 ms between tokens take leave the machine to what is measured (31 us of processor time
each where uvicorn and a task a stream took 57).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import cast

import httptools
import uvloop

Announce = Callable[[str], None]
App = Callable[["Exchange"], None]

JSON = b"application/json"
_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_NO_MORE = b"0\r\n\r\n"


class StubServer:
    """Listens on `port` (0: any free one) and tells `announce` its URL as soon as it answers."""

    def __init__(self, app: App, announce: Announce, host: str = "127.0.0.1", port: int = 0) -> None:
        self._app = app
        self._announce = announce
        self._host, self._port = host, port
        self._over = asyncio.Event()
        self._open: set[_Connection] = set()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        uvloop.run(self._until_signal())

    async def _until_signal(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.stop)
        await self.serve()

    async def serve(self) -> None:
        """Serve until `stop`."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Connection(self._app, self._open), self._host, self._port, backlog=2048
        )
        host, port = server.sockets[0].getsockname()[:2]
        self._announce(f"http://{host}:{port}")
        await self._over.wait()
        server.close()
        for connection in tuple(self._open):
            connection.cut()

    def stop(self) -> None:
        """Answer nobody any more; answers under way are cut."""
        self._over.set()


class Exchange:
    """One request, and how it is answered: by `respond`, or by `write` until one is the `last`."""

    def __init__(self, connection: _Connection, method: str, path: str, body: bytes) -> None:
        self.method = method
        self.path = path
        self.body = body
        self.gone: Callable[[], None] | None = None
        """Called if the client goes before it has its answer."""
        self._connection = connection
        self._begun = False

    def respond(self, status: int, body: bytes) -> None:
        """Answer in one piece."""
        head = b"HTTP/1.1 %d -\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
        self._connection.write(head % (status, JSON, len(body)) + body)
        self._connection.answered()

    def write(self, data: bytes, *, last: bool = False) -> None:
        """Write one piece of a stream, at once."""
        chunk = b"%x\r\n%b\r\n" % (len(data), data)
        self._connection.write((b"" if self._begun else _STREAM) + chunk + (_NO_MORE if last else b""))
        self._begun = True
        if last:
            self._connection.answered()

    def cut(self) -> None:
        """Break the connection off in the middle of a stream."""
        self.gone = None
        if not self._begun:
            self._connection.write(_STREAM)
        self._connection.cut()


class _Connection(asyncio.Protocol):
    """One connection, with one request at a time; `httptools` calls its methods `on_…`."""

    def __init__(self, app: App, open_: set[_Connection]) -> None:
        self._app = app
        self._open = open_
        self._exchange: Exchange | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._body = b"", b""
        self._keep = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._open.discard(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None and exchange.gone is not None:
            exchange.gone()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.cut()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._exchange is not None:  # no client of ours asks before it has its answer
            self.cut()
            return
        method, path = self._parser.get_method().decode(), self._url.partition(b"?")[0].decode()
        self._keep = self._parser.should_keep_alive()
        self._exchange = Exchange(self, method, path, self._body)
        self._url, self._body = b"", b""
        self._app(self._exchange)

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def answered(self) -> None:
        """The exchange is over, the connection is kept if the client wants it."""
        self._exchange = None
        if not self._keep:
            self._transport.close()

    def cut(self) -> None:
        self._transport.close()

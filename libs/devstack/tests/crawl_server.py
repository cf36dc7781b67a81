"""A real HTTP server that the crawler's tests lay out, and that remembers who asked for what."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network


@dataclass(frozen=True)
class Reply:
    body: bytes = b""
    status: str = "200 OK"
    content_type: str = "text/html"
    headers: tuple[str, ...] = ()
    after_s: float = 0.0
    """Seconds before the body, after the head."""


def redirect(location: str) -> Reply:
    return Reply(status="302 Found", headers=(f"location: {location}",))


MISSING = Reply(status="404 Not Found")
LOOPBACK = (IPv4Network("127.0.0.0/8"),)


@dataclass
class Site:
    """``replies`` by path with query; ``asked`` are the paths of the requests, ``heads`` their heads."""

    replies: dict[str, Reply] = field(default_factory=dict)
    port: int = 0
    host: str = "127.0.0.1"
    scheme: str = "http"
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    now: int = 0
    most_at_once: int = 0

    def url(self, path: str = "/") -> str:
        return f"{self.scheme}://{self.host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await self._head(reader):
                await self._answer(head, writer)
        except ConnectionError:
            pass  # the client had enough
        finally:
            writer.close()

    async def _head(self, reader: asyncio.StreamReader) -> str:
        try:
            return (await reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            return ""  # the client, or the test, is done: asyncio's server reports a cancelled task as failed

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        path = head.split(" ")[1]
        self.asked.append(path)
        self.heads.append(head)
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        try:
            reply = self.replies.get(path, MISSING)
            lines = [f"HTTP/1.1 {reply.status}", f"content-type: {reply.content_type}", *reply.headers]
            if not any(line.startswith("content-length") for line in lines):
                lines.append(f"content-length: {len(reply.body)}")
            writer.write("\r\n".join([*lines, "", ""]).encode())
            await writer.drain()
            await asyncio.sleep(reply.after_s)
            writer.write(reply.body)
            await writer.drain()
        finally:
            self.now -= 1


@asynccontextmanager
async def serving(
    replies: Mapping[str, Reply] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Site]:
    site = Site(dict(replies or {}), host=host, scheme="https" if tls else "http")
    server = await asyncio.start_server(site.serve, host, port, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()

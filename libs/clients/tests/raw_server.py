"""A server that answers with the bytes it is told to, at any pace, and remembers what it was asked."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

FOREVER = 3600.0

Answer = Sequence[bytes | float]
"""Bytes to send, and pauses in seconds between them; the client's leaving ends a pause."""


@dataclass
class RawServer:
    """Plays `answers`, one a request, the last one again and again; after `closes` it hangs up."""

    answers: list[Answer] = field(default_factory=list)
    closes: bool = False
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has left within a pause."""
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await _read(reader):
                self.requests.append(request)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not await self._play(answer, reader, writer) or self.closes:
                    break
        finally:
            writer.close()

    async def _play(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for part in answer:
            if isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
                continue
            try:
                await asyncio.wait_for(reader.read(1), part)
            except TimeoutError:
                continue
            except OSError:
                pass
            self.gone.set()
            return False
        return True


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        return head + await reader.readexactly(int(length[1]) if length else 0)
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""


def answer(status: int, body: bytes, content_type: str = "application/json", more: str = "") -> Answer:
    """Return a whole answer."""
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
    return [f"{head}{more}\r\n".encode(), body]


STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return a piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@asynccontextmanager
async def serving(*answers: Answer, closes: bool = False) -> AsyncIterator[RawServer]:
    """A server on loopback, until the block ends."""
    server = RawServer(list(answers), closes)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        yield server
        listening.close()

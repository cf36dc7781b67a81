"""A small server that speaks Text Embeddings Inference's dialect."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class TeiServer:
    """Answers POST /tei/embed with a vector a text, GET /tei/health and /tei/info; unless told otherwise."""

    statuses: list[int] = field(default_factory=list)
    """Statuses of the next answers, before it is well again."""
    body: bytes | None = None
    bodies: list[dict[str, object]] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await self._read(reader):
                status = self.statuses.pop(0) if self.statuses else 200
                if status == 0:
                    break
                answer = self.body if self.body is not None else self._answer(request)
                head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(answer)}\r\n\r\n"
                writer.write(head.encode() + answer)
                await writer.drain()
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return b""
        for path in (b"health", b"info"):
            if head.startswith(b"GET /tei/%s " % path):
                return path
        assert head.startswith(b"POST /tei/embed "), head
        [length] = [
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ]
        return await reader.readexactly(length)

    def _answer(self, request: bytes) -> bytes:
        if request == b"health":
            return b""
        if request == b"info":
            return b'{"model_id": "a-model", "model_sha": null}'
        body = json.loads(request)
        self.bodies.append(body)
        return json.dumps([[len(text), 0.5, 1] for text in body["inputs"]]).encode()


@asynccontextmanager
async def serving() -> AsyncIterator[TeiServer]:
    """A server on loopback, until the block ends."""
    served = TeiServer()
    listening = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/tei"
    async with listening:
        yield served
        listening.close()

"""A real server behind the gateway, which notes what it gets and answers as told."""

import json
import socket
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.types import Message, Receive, Scope, Send

Answer = Callable[["Seen", Receive, Send], Awaitable[None]]


class Seen:
    """One request as the server behind the gateway got it; `ended` says how its body ended."""

    def __init__(self, scope: Scope) -> None:
        self.method: str = scope["method"]
        self.target: bytes = scope["raw_path"] + (
            b"?" + scope["query_string"] if scope["query_string"] else b""
        )
        self.headers: list[tuple[str, str]] = [(k.decode(), v.decode("latin-1")) for k, v in scope["headers"]]
        self.pieces: list[bytes] = []
        self.ended: str | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def all_of(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    async def read(self, receive: Receive) -> None:
        """Read the body to its end."""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.ended = "broken off"
                return
            self.pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        self.ended = "whole"


def start(status: int = 200, **headers: str) -> Message:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


def body(content: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def echo(seen: Seen, receive: Receive, send: Send) -> None:
    await seen.read(receive)
    await send(start(content_type="application/json"))
    await send(body(json.dumps({"size": len(seen.body)}).encode()))


class Upstream:
    """A real server on a loopback port that notes what it gets and answers as told."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answer: Answer = echo
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.server = uvicorn.Server(
            uvicorn.Config(
                self._app, interface="asgi3", lifespan="off", log_config=None, timeout_graceful_shutdown=1
            )
        )

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = Seen(scope)
        self.seen.append(seen)
        await self.answer(seen, receive, send)

    def kill(self) -> None:
        """Cut all connections at once, as the kernel does for a process that is killed."""
        for connection in list(self.server.server_state.connections):
            connection.transport.abort()  # type: ignore[union-attr]

"""``python -m e2e.bench.passthrough URL``: the plain HTTP gateway that Penstock is compared with.

It passes every request on to URL and streams the response back: no queue, no key, no log. One uvicorn worker,
uvloop, httptools. Prints its own URL as soon as it listens.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx2
import uvicorn

Message = MutableMapping[str, Any]


class PassThrough:
    """The ASGI app."""

    def __init__(self, url: str) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx2.AsyncClient(base_url=url, limits=limits, timeout=120, trust_env=False)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Pass one request on."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        kept = [(name, value) for name, value in scope["headers"] if name in (b"content-type", b"accept")]
        async with self._client.stream(
            scope["method"], scope["path"], content=body, headers=kept
        ) as upstream:
            headers = [(b"content-type", upstream.headers["content-type"].encode())]
            await send({"type": "http.response.start", "status": upstream.status_code, "headers": headers})
            async for part in upstream.aiter_raw():
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def main() -> None:
    """Serve until SIGTERM."""
    listening = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(
        PassThrough(sys.argv[1]),
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=600,
    )
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()

"""``python -m e2e.bench.passthrough URL``: the plain HTTP gateway that Penstock is compared with.

It passes every request on to URL and streams the response back: no queue, no key, no log. One uvicorn worker,
uvloop, httptools. Prints its own URL as soon as it listens.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import uvicorn

Message = MutableMapping[str, Any]
_KEPT = (b"content-type", b"accept")


class PassThrough:
    """The ASGI app."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

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
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        kept = {name.decode(): value.decode() for name, value in scope["headers"] if name in _KEPT}
        url = self._url + scope["path"]
        async with self._session.request(scope["method"], url, data=body, headers=kept) as upstream:
            headers = [(b"content-type", upstream.headers["content-type"].encode())]
            await send({"type": "http.response.start", "status": upstream.status, "headers": headers})
            async for part in upstream.content.iter_any():
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

"""Serves the stub with uvicorn: in a process of its own, or inside a test's event loop."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from e2e.stub.backend import Stub

Announce = Callable[[str], None]


class StubServer(uvicorn.Server):
    """Listens on `port` (0: any free one) and tells `announce` its URL as soon as it answers."""

    def __init__(self, app: Stub, announce: Announce, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                loop="uvloop",
                http="httptools",
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=False,
                # Longer than any client keeps an idle connection: none is closed just as it is used again.
                timeout_keep_alive=600,
                timeout_graceful_shutdown=1,
            )
        )
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._announce(f"http://{host}:{port}")

"""A TCP balancer as small as one can be: a connection goes to the next server that takes it.

What any balancer in front of gateways must do, and no more: when a server refuses a connection, try another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_BLOCK = 65_536
_TRIES = 50
_PAUSE_S = 0.1


@asynccontextmanager
async def balancing(servers: Callable[[], Sequence[str]]) -> AsyncGenerator[str, None]:
    """Serve while the block runs; yields the base URL. `servers` are base URLs, asked for each time."""
    turn = 0

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        nonlocal turn
        for number in range(_TRIES):
            turn += 1
            present = servers()
            address = urlsplit(present[turn % len(present)])
            with suppress(OSError):
                return await asyncio.open_connection(address.hostname, address.port)
            if number >= len(present):
                await asyncio.sleep(_PAUSE_S)
        return None

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await connect()
            if server is not None:
                await _both_ways(reader, writer, *server)
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        listening.close()


async def _both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    from_server: asyncio.StreamReader,
    to_server: asyncio.StreamWriter,
) -> None:
    """Pass bytes on until either side ends: the other one is then closed, too."""
    ways = {asyncio.create_task(_pass(reader, to_server)), asyncio.create_task(_pass(from_server, writer))}
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        to_server.close()
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while block := await source.read(_BLOCK):
            sink.write(block)
            await sink.drain()

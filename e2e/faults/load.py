"""The load: clients that each ask one question after the other, until told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import aiohttp

from e2e.faults.asks import Load, asks
from e2e.faults.client import Client, Door
from e2e.faults.seen import Seen

_SILENCE_S = 20.0
"""A gateway that sends nothing for so long, not even a comment, is given up.

It counts for connecting, too: thousands of clients in one process are slower at it than the gateway.
"""
_SMALL_BUFFER = 4096


@asynccontextmanager
async def http_sessions() -> AsyncGenerator[tuple[aiohttp.ClientSession, aiohttp.ClientSession], None]:
    """A usual client, and one whose small receive buffer lets a slow reader be felt by the server.

    aiohttp, as it parses in C: a client that is slow among thousands is no fault of the gateway's.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SILENCE_S, sock_read=_SILENCE_S)
    usual = aiohttp.TCPConnector(limit=0)
    small = aiohttp.TCPConnector(limit=0, socket_factory=_small_socket)
    async with (
        aiohttp.ClientSession(connector=usual, timeout=timeout) as quick,
        aiohttp.ClientSession(connector=small, timeout=timeout, read_bufsize=_SMALL_BUFFER) as slow,
    ):
        yield quick, slow


def _small_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
    return made


class Clients:
    """`load.streams` clients; `seen` grows by each answer that has ended, `open` are those that go on."""

    def __init__(self, door: Door, load: Load, name: str, random: Random) -> None:
        self.seen: list[Seen] = []
        self.asked = 0
        self._door = door
        self._load = load
        self._asks = asks(load, name, random)
        self._random = random

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until `stop` is set; return when every answer has an end, at the latest at its deadline."""
        async with http_sessions() as (quick, slow), asyncio.TaskGroup() as tasks:
            for number in range(self._load.streams):
                tasks.create_task(self._one(number, quick, slow, stop))

    async def _one(
        self, number: int, quick: aiohttp.ClientSession, slow: aiohttp.ClientSession, stop: asyncio.Event
    ) -> None:
        await _rest(stop, 2.0 * number / self._load.streams)
        while not stop.is_set():
            self.asked += 1
            client = Client(self._door, quick, slow, self._random)
            self.seen.append(await client.ask(next(self._asks)))
            await _rest(stop, self._random.random() * self._load.gap_s)


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return

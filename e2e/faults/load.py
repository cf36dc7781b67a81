"""The load: clients that each ask one question after the other, until told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import httpx2

from e2e.faults.asks import Load, asks
from e2e.faults.client import Client, Door
from e2e.faults.seen import Seen
from penstock.telemetry.http import Transport

_SILENCE_S = 20.0
"""A gateway that sends nothing for so long, not even a comment, is given up.

It counts for connecting, too: thousands of clients in one process are slower at it than the gateway.
"""
_SMALL_BUFFER = 4096
_STREAMS_OF_A_POOL = 50
"""The library looks at all connections of a pool for each request: with thousands it does nothing else."""


@asynccontextmanager
async def http_clients() -> AsyncGenerator[tuple[httpx2.AsyncClient, httpx2.AsyncClient], None]:
    """A usual client, and one whose small receive buffer lets a slow reader be felt by the server."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30)
    timeout = httpx2.Timeout(_SILENCE_S)
    small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)]
    # Plain HTTP on this machine: certificates, which take a while to load, are for nothing.
    usual = Transport(limits=limits, trust_env=False, verify=False)
    slowed = Transport(limits=limits, trust_env=False, verify=False, socket_options=small)
    async with (
        httpx2.AsyncClient(transport=usual, timeout=timeout, trust_env=False) as quick,
        httpx2.AsyncClient(transport=slowed, timeout=timeout, trust_env=False) as slow,
    ):
        yield quick, slow


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
        async with AsyncExitStack() as pools, asyncio.TaskGroup() as tasks:
            for number in range(self._load.streams):
                if number % _STREAMS_OF_A_POOL == 0:
                    quick, slow = await pools.enter_async_context(http_clients())
                tasks.create_task(self._one(number, quick, slow, stop))

    async def _one(
        self, number: int, quick: httpx2.AsyncClient, slow: httpx2.AsyncClient, stop: asyncio.Event
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

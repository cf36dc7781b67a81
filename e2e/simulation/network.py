"""Connections between processes: bytes in order, late, cut, or open to a peer that has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

from e2e.simulation.kafka.link import Weather
from e2e.simulation.settle import settle
from e2e.simulation.world import Process, World

Accept = Callable[["Connection"], object]


class Broken(Exception):
    """The connection was refused, or has ended."""


class Connection:
    """One end of a connection. What is sent arrives in order, or the connection breaks."""

    def __init__(self, network: Network, process: Process) -> None:
        self.process = process
        self.peer: Connection
        self._network = network
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._arrives = 0.0
        self._closed = False
        process.at_end(self.close)

    @property
    def closed(self) -> bool:
        """Whether the peer has gone, or this end was closed."""
        return self._closed

    def send(self, data: bytes) -> None:
        """Send some bytes; to a peer that has gone they go nowhere."""
        if not self._closed:
            self._arrives = self._network.carry(self, data, self._arrives)

    def close(self) -> None:
        """Close both ends; the peer learns of it a moment later."""
        if not self._closed:
            self._closed = True
            self._inbox.put_nowait(None)
            self._arrives = self._network.carry(self, None, self._arrives)

    async def receive(self) -> AsyncIterator[bytes]:
        """Yield what arrives until the connection has ended."""
        while (data := await self._inbox.get()) is not None:
            yield data

    def arrive(self, data: bytes | None) -> None:
        """Take what the peer has sent, None: it has closed."""
        self._closed = self._closed or data is None
        self._inbox.put_nowait(data)


class Network:
    """Who listens, and how long everything takes."""

    def __init__(self, world: World, weather: Weather) -> None:
        self.world = world
        self.weather = weather
        self._listening: dict[str, tuple[Process, Accept]] = {}

    def listen(self, address: str, process: Process, accept: Accept) -> Callable[[], None]:
        """Let a process take connections at an address, until it ends or calls what is returned."""
        here = (process, accept)
        self._listening[address] = here

        def close() -> None:
            if self._listening.get(address) is here:
                del self._listening[address]

        process.at_end(close)
        return close

    async def connect(self, process: Process, address: str) -> Connection:
        """Connect a process. Raises Broken if nobody listens."""
        connected: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

        def arrive() -> None:
            listening = self._listening.get(address)
            if listening is None:
                process.call(lambda: settle(connected, Broken("refused")))
                return
            here, there = Connection(self, process), Connection(self, listening[0])
            here.peer, there.peer = there, here
            listening[0].call(lambda: listening[1](there))
            process.call(lambda: settle(connected, here))

        self.world.later(self._delay(), arrive)
        return await connected

    def carry(self, end: Connection, data: bytes | None, after: float) -> float:
        """Bring something to the other end, after what was sent before; return when it arrives."""
        at = max(after, self.world.now + self._delay())
        self.world.at(at, lambda: end.peer.process.call(lambda: end.peer.arrive(data)))
        return at

    def _delay(self) -> float:
        weather, random = self.weather, self._random
        slow = random.uniform(0, weather.slow_s) if random.random() < weather.slow_share else 0.0
        return random.uniform(weather.least_s, weather.most_s) + slow

    @property
    def _random(self) -> Random:
        return self.world.random

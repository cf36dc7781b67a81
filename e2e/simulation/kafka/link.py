"""What lies between a client and the cluster: requests and replies that take time, and may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Generic, Protocol, TypeVar

from e2e.simulation.settle import settle

T = TypeVar("T")
_NOTICED_S = 1.0
"""At the latest after so long a client knows that its connection has broken."""


class Time(Protocol):
    """Where things happen later: the simulated world, or a real event loop in a test."""

    @property
    def now(self) -> float:
        """Seconds."""

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Let something happen after so many seconds."""


class KafkaError(Exception):
    """What the cluster answers a request that it does not grant; `retriable` as Kafka's own list says."""

    def __init__(self, name: str, *, retriable: bool) -> None:
        super().__init__(name)
        self.name = name
        self.retriable = retriable


class Lost(KafkaError):
    """No reply came: whether the request was granted is not known."""

    def __init__(self) -> None:
        super().__init__("no reply", retriable=True)


@dataclass(slots=True)
class Weather:
    """How the links of a world are: seconds one way, and shares of requests and replies that are lost."""

    least_s: float = 0.0002
    most_s: float = 0.002
    slow_share: float = 0.0
    slow_s: float = 1.0
    lost_share: float = 0.0

    def become(self, other: Weather) -> None:
        """Change to other weather, for all who live in this one."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))


class Reply(Generic[T]):
    """How the cluster answers one request: once, whenever it wants to."""

    def __init__(self, link: Link, future: asyncio.Future[T], name: str) -> None:
        self._link = link
        self._future = future
        self._name = name

    def __call__(self, result: T | KafkaError) -> None:
        """Send the answer."""
        self._link.down(self._future, result, self._name)


class Link:
    """The connection of one client. Requests arrive in their order, and so do replies (TCP).

    `deliver` runs a function in the client's process. While the link is cut, what is sent waits. A connection
    that breaks loses one request, or its reply, and the client notices that soon. `step` is called with the
    name of each request before it is sent, and when its answer arrives; True says that it gets no further.
    """

    def __init__(
        self,
        time: Time,
        random: Random,
        weather: Weather,
        deliver: Callable[[Callable[[], object]], object],
        step: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._time = time
        self._random = random
        self._weather = weather
        self._deliver = deliver
        self._step = step
        self._up_at = self._down_at = 0.0
        self.cut_until = 0.0

    async def call(self, name: str, handle: Callable[[Reply[T]], None], seconds: float) -> T:
        """Let the cluster handle a request, and return its answer. Raises KafkaError; Lost if none comes."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        reply = Reply(self, future, name)
        self._up_at = self._arrival(self._up_at)
        if self._step(name):
            pass
        elif self._breaks():
            self._notice(future)
        else:
            self._time.later(self._up_at - self._time.now, lambda: handle(reply))
        timer = loop.call_later(seconds, settle, future, Lost())  # cheaper than asyncio.timeout
        try:
            return await future
        finally:
            timer.cancel()

    def down(self, future: asyncio.Future[T], result: T | KafkaError, name: str) -> None:
        """Send the answer to a request of this name to the client."""
        self._down_at = self._arrival(self._down_at)
        if self._breaks():
            self._notice(future)
        else:
            self._time.later(self._down_at - self._time.now, lambda: self._arrive(future, result, name))

    def _arrive(self, future: asyncio.Future[T], result: T | KafkaError, name: str) -> None:
        if not self._step(name):
            self._deliver(lambda: settle(future, result))

    def _breaks(self) -> bool:
        return self._random.random() < self._weather.lost_share

    def _notice(self, future: asyncio.Future[T]) -> None:
        seconds = self._random.uniform(0, _NOTICED_S)
        self._time.later(seconds, lambda: self._deliver(lambda: settle(future, Lost())))

    def _arrival(self, after: float) -> float:
        """Return when something arrives that is sent now, after what was sent before."""
        weather, random, now = self._weather, self._random, self._time.now
        at = now + random.uniform(weather.least_s, weather.most_s)
        if random.random() < weather.slow_share:
            at += random.uniform(0, weather.slow_s)
        return max(at, after, self.cut_until)

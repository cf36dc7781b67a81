"""Runs a set of services: all at once, watched, started again, stopped in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from penstock.devstack.errors import DevstackError
from penstock.devstack.replicas import service_of
from penstock.devstack.service import Attention, Service, ServiceSpec
from penstock.devstack.state import GIVE_UP_AFTER, ServiceStatus, last_line

GRACE_S = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Screen(Protocol):
    """Where the supervisor reports to."""

    def changed(self, services: Sequence[ServiceStatus]) -> None:
        """The status of a service differs from the last time."""

    def event(self, text: str) -> None:
        """Something that the user should see once, for example that a process died."""


class Supervisor:
    """Owns the processes of one stack. All calls are made in one event loop, in the main thread."""

    def __init__(self, specs: Sequence[ServiceSpec], screen: Screen, *, grace: float = GRACE_S) -> None:
        self._screen = screen
        self._grace = grace
        self._ready = asyncio.Event()
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._signals = 0
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._broken: asyncio.Future[None] | None = None
        self._attention = Attention()
        self.services = [self._service(spec) for spec in specs]

    @property
    def ready(self) -> bool:
        """True while every service is ready."""
        return all(service.status.state == "ready" for service in self.services)

    def statuses(self) -> tuple[ServiceStatus, ...]:
        """The status of every service, in the order of the specs."""
        return tuple(service.status for service in self.services)

    def stop(self) -> None:
        """Ends ``run``; at the second call nothing is waited for any more."""
        self._signals += 1
        self._stop.set()
        if self._signals > 1:
            for service in self.services:
                service.kill()

    async def run(self, work: Callable[[], Awaitable[None]] | None = None) -> None:
        """Runs everything until a signal, ``stop``, or an error of ``work``.

        ``work`` runs beside the services and may wait for ``until_ready``; a DevstackError of it stops the
        stack and is raised again when nothing runs any more.
        """
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.stop)
        self._broken = loop.create_future()
        for service in self.services:
            self._begin(service)
        stopped = asyncio.create_task(_until(self._stop))
        worker = asyncio.create_task(_call(work)) if work is not None else stopped
        try:
            await self._until_the_end({stopped, worker, self._broken})
        finally:
            self._stop.set()
            for task in (stopped, worker):
                task.cancel()
            await asyncio.wait({stopped, worker})
            await self._shut_down()
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def add(self, specs: Sequence[ServiceSpec]) -> None:
        """Starts more services while the others run; each is shown after its replicas."""
        if self._stop.is_set():
            return
        for spec in specs:
            service = self._service(spec)
            names = [service_of(other.spec.name) for other in self.services]
            same = [at for at, name in enumerate(names) if name == service_of(spec.name)]
            self.services.insert(same[-1] + 1 if same else len(names), service)
            self._begin(service)
        self._on_change()

    async def remove(self, names: Collection[str]) -> None:
        """Stops services while the others go on: SIGTERM, the grace, SIGKILL; returns when they are gone."""
        leaving = [service for service in self.services if service.spec.name in names]
        for service in leaving:
            service.stop()
        lives = [self._lives[service.spec.name] for service in leaving]
        if lives:
            await asyncio.wait(lives, timeout=self._grace)
            await self._end(leaving)
        self.services = [service for service in self.services if service not in leaving]
        for service in leaving:
            self._lives.pop(service.spec.name, None)
        self._on_change()

    async def until_ready(self, within: float | None = None) -> None:
        """Returns when every service is ready.

        DevstackError after ``within`` seconds (if given), or as soon as a service only crashes.
        """
        try:
            async with asyncio.timeout(within):
                while not self.ready:
                    if within is not None:
                        self._raise_if_hopeless()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            late = [_late(status) for status in self.statuses() if status.state != "ready"]
            raise DevstackError(f"Not ready after {within:g} s: {'; '.join(late)}") from None

    def _service(self, spec: ServiceSpec) -> Service:
        return Service(spec, self._on_change, self._screen.event, self._attention)

    def _begin(self, service: Service) -> None:
        life = asyncio.create_task(service.run())
        self._lives[service.spec.name] = life
        life.add_done_callback(self._ended)

    def _ended(self, life: asyncio.Task[None]) -> None:
        """A life ends when it is told to; an error in it ends the stack."""
        if life.cancelled() or self._broken is None or self._broken.done():
            return
        if (error := life.exception()) is not None:
            self._broken.set_exception(error)

    async def _until_the_end(self, tasks: set[asyncio.Future[None]]) -> None:
        pending = tasks
        while not self._stop.is_set():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    def _raise_if_hopeless(self) -> None:
        for service in self.services:
            if service.failed_starts >= GIVE_UP_AFTER:
                raise DevstackError(
                    f"{service.spec.name} ended {service.failed_starts} times without becoming ready:"
                    f" {last_line(service.spec.log_file)} (see {service.spec.log_file})"
                )

    async def _shut_down(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._grace
        for last in (False, True):
            wave = [service for service in self.services if service.spec.stop_last is last]
            for service in wave:
                service.stop()
            if wave:
                # The last wave gets two seconds even if the first has used up the grace.
                left = max(2.0 if last else 0.0, deadline - asyncio.get_running_loop().time())
                await asyncio.wait([self._lives[service.spec.name] for service in wave], timeout=left)
        await self._end(self.services)

    async def _end(self, services: Sequence[Service]) -> None:
        """Kills what has not ended by itself."""
        lives = [self._lives[service.spec.name] for service in services]
        for service, life in zip(services, lives, strict=True):
            if not life.done():
                self._screen.event(f"{service.spec.name} did not end within {self._grace:g} s: killed")
            service.kill()
        await asyncio.gather(*lives, return_exceptions=True)

    def _on_change(self) -> None:
        self._changed.set()
        self._attention.stir()
        self._screen.changed(self.statuses())


async def _until(event: asyncio.Event) -> None:
    await event.wait()


async def _call(work: Callable[[], Awaitable[None]]) -> None:
    await work()


def _late(status: ServiceStatus) -> str:
    waits = ", ".join(status.waiting_for)
    return f"{status.name} is {status.state}" + (f" for {waits}" if waits else "")

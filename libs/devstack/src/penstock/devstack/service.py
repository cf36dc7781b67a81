"""The life of one supervised process: start, watch, start again when it dies, stop."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from penstock.devstack.death import die_with_parent
from penstock.devstack.readiness import Probe
from penstock.devstack.state import ServiceStatus, State, last_line

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 5.0
CRASH_LOOP = 3
"""So many ends in a row without having been ready in between are called a crash loop."""
_POLL_STARTING_S = 0.2
_POLL_READY_S = 1.0
_POLL_CALM_S = 5.0
_CALM_AFTER_S = 30.0


@dataclass(frozen=True)
class ServiceSpec:
    """What to run and how to tell that it is ready. Without a command, somebody else runs it."""

    name: str
    command: tuple[str, ...]
    probe: Probe
    log_file: Path
    env: Mapping[str, str] = field(default_factory=dict)
    stop_last: bool = False
    """True for what the others need while they drain (Kafka, the engine)."""


class Attention:
    """How often the services of a stack are asked whether they are ready, all alike.

    The end of a process is noticed at once. What changes while all runs is seen after five seconds, and what
    follows from a change, after one: then all are asked at once, and every second until nothing has changed
    for half a minute.
    """

    def __init__(self) -> None:
        self._stirred = asyncio.Event()
        self._calm_at = 0.0

    def stir(self) -> None:
        """Say that something has changed."""
        self._calm_at = asyncio.get_running_loop().time() + _CALM_AFTER_S
        stirred, self._stirred = self._stirred, asyncio.Event()
        stirred.set()

    async def rest(self, *, ready: bool) -> None:
        """Wait until a service that is ready, or not, is to be asked again."""
        if not ready:
            await asyncio.sleep(_POLL_STARTING_S)
        elif asyncio.get_running_loop().time() < self._calm_at:
            await asyncio.sleep(_POLL_READY_S)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), _POLL_CALM_S)


class Service:
    """Runs one ServiceSpec until ``stop``; ``on_change`` is called whenever its status differs."""

    def __init__(
        self,
        spec: ServiceSpec,
        on_change: Callable[[], None],
        on_event: Callable[[str], None],
        attention: Attention,
    ) -> None:
        self.spec = spec
        self._attention = attention
        self.failed_starts = 0
        self._on_change = on_change
        self._on_event = on_event
        self._process: Process | None = None
        self._stopping = False
        self._stop = asyncio.Event()
        self.status = ServiceStatus(name=spec.name, state="starting" if spec.command else "waiting")

    async def run(self) -> None:
        """Returns after ``stop`` and the end of the process; cancelling it kills the process."""
        watcher = asyncio.create_task(self._watch())
        try:
            if self.spec.command:
                await self._keep_running()
            else:
                await self._stop.wait()
        finally:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
            self.kill()
        self._set("stopped", pid=None)

    def stop(self) -> None:
        """Asks the process to end (SIGTERM) and lets ``run`` return."""
        self._stopping = True
        self._stop.set()
        if self._process is not None:
            self._set("stopping", pid=self._process.pid)
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the process and to whatever it has started in its group."""
        self._stopping = True
        self._stop.set()
        self._signal(signal.SIGKILL)

    async def _keep_running(self) -> None:
        backoff = FIRST_BACKOFF_S
        while not self._stopping:
            code = await self._run_once()
            if self._stopping:
                return
            was_ready = self.status.state == "ready"
            self.failed_starts = 1 if was_ready else self.failed_starts + 1
            backoff = FIRST_BACKOFF_S if was_ready else backoff
            crashing = self.failed_starts >= CRASH_LOOP
            self._set("crashing" if crashing else "restarting", pid=None, restarts=self.status.restarts + 1)
            self._report(code, backoff)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF_S)

    def _report(self, code: int, backoff: float) -> None:
        """A line for each end; a crash loop is named once, with what the process said last."""
        name = self.spec.name
        if self.failed_starts < CRASH_LOOP:
            self._on_event(f"{name} ended ({_how(code)}); starting it again in {backoff:g} s")
        elif self.failed_starts == CRASH_LOOP:
            self._on_event(
                f"{name} keeps ending ({_how(code)}): {last_line(self.spec.log_file)}"
                f" (see {self.spec.log_file}; it starts again every {LONGEST_BACKOFF_S:g} s)"
            )

    async def _run_once(self) -> int:
        try:
            log = self.spec.log_file.open("ab")
        except OSError as error:
            self._on_event(f"{self.spec.name} cannot be started without its log: {error}")
            return 127
        with log:
            try:
                self._process = await self._start(log)
            except OSError as error:
                log.write(f"{error}\n".encode())
                return 127
        if self._stopping:  # asked to stop while the process was being made
            self._signal(signal.SIGTERM)
        elif self.status.state != "crashing":
            self._set("starting", pid=self._process.pid)
        else:
            self._set("crashing", pid=self._process.pid)
        try:
            return await self._process.wait()
        finally:
            self._signal(signal.SIGKILL)
            self._process = None

    async def _start(self, log: BinaryIO) -> Process:
        return await asyncio.create_subprocess_exec(
            *self.spec.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **self.spec.env},
            # Its own session: Ctrl-C reaches the supervisor alone, which stops everything in order.
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),
        )

    async def _watch(self) -> None:
        while True:
            if self.status.pid is not None or not self.spec.command:
                await self._look()
            await self._attention.rest(ready=self.status.state == "ready")

    async def _look(self) -> None:
        pid = self.status.pid
        readiness = await self.spec.probe()
        if self.status.pid != pid or self._stopping:  # the answer is about another process
            return
        if readiness.ready:
            self.failed_starts = 0
            self._set("ready", pid=pid)
        elif readiness.waiting_for or self.status.state == "ready":
            state: State = "crashing" if self.status.state == "crashing" else "waiting"
            self._set(state, pid=pid, waiting_for=readiness.waiting_for)

    def _set(
        self, state: State, *, pid: int | None, restarts: int | None = None, waiting_for: tuple[str, ...] = ()
    ) -> None:
        status = ServiceStatus(
            name=self.spec.name,
            state=state,
            pid=pid,
            restarts=self.status.restarts if restarts is None else restarts,
            waiting_for=waiting_for,
        )
        if status != self.status:
            self.status = status
            self._on_change()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


def _how(code: int) -> str:
    """How a process ended: ``code 1`` or ``signal SIGKILL``."""
    if code >= 0:
        return f"code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"

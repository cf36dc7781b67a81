"""The test stand: a stub backend and a whole stack with replicas, in a folder of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import msgspec

from e2e.faults.client import Door
from e2e.faults.launcher import write_programs
from e2e.stub.wire import Running, Stats
from penstock.devstack.ask import first_model
from penstock.devstack.death import die_with_parent
from penstock.devstack.root import find_root
from penstock.devstack.state import StackStatus, StateDir, last_line
from penstock.devstack.where import read_key

READY_S = 300.0
_STOP_S = 25.0
_POLL_S = 0.1
PENSTOCK = str(Path(sys.executable).with_name("penstock"))


class StandError(Exception):
    """The stand does not stand; one line says why."""


@dataclass(frozen=True)
class Setup:
    """What a stand is made of.

    `replicas` by service; `variants` as in `launcher.write_programs`; `settings` are environment variables of
    the stack. With `real_model` the local inference service answers, SmolLM2 without the reader's adapter,
    and no stub runs.
    """

    replicas: Mapping[str, int] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float = 60.0
    slots: int = 64
    first_ms: float = 40.0
    inter_ms: float = 20.0
    small_disk: bool = False
    """The broker's data lie on a small disk of their own, which can be filled."""
    real_model: bool = False


class Stub:
    """The stub backend in a process of its own, always on the same port."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self._http = httpx2.AsyncClient(trust_env=False, timeout=httpx2.Timeout(2.0, connect=10.0))

    def start(self) -> None:
        """Start it (again). Raises StandError if it does not come."""
        setup, port = self._setup, self.url.rpartition(":")[2] or "0"
        options = {
            "--port": port,
            "--slots": setup.slots,
            "--first-ms": setup.first_ms,
            "--inter-ms": setup.inter_ms,
        }
        self._process = subprocess.Popen(  # noqa: S603  # ours
            [sys.executable, "-m", "e2e.stub", *(str(word) for pair in options.items() for word in pair)],
            cwd=find_root(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip() or self.url
        if self._process.poll() is not None:
            raise StandError("the stub did not start")

    @property
    def pid(self) -> int:
        """Its process id; it must have been started."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def stop(self) -> None:
        """End it for good."""
        self.kill()
        await self._http.aclose()

    async def break_streams(self, **faults: float) -> None:
        """Tell it what goes wrong from now on (`e2e.stub.wire.Faults`)."""
        (await self._http.post(f"{self.url}/faults", json=faults)).raise_for_status()

    async def behave(self, **behaviour: float) -> None:
        """Change its behaviour (`e2e.stub.wire.Behaviour`)."""
        (await self._http.put(f"{self.url}/stub/behaviour", json=behaviour)).raise_for_status()

    async def running(self) -> list[Running]:
        """Return the answers it writes now. Raises httpx2.HTTPError while it does not answer."""
        response = await self._http.get(f"{self.url}/stub/running")
        return msgspec.json.decode(response.content, type=list[Running])

    async def stats(self) -> Stats:
        """Return its counters."""
        response = await self._http.get(f"{self.url}/stub/stats")
        return msgspec.json.decode(response.content, type=Stats)


class Stand:
    """A running stack with its stub."""

    def __init__(self, setup: Setup, folder: Path, say: Callable[[str], None]) -> None:
        self.setup = setup
        self.say = say
        self.folder = folder
        self.state = StateDir(folder / "state")
        self.stub = Stub(setup)
        self.model = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._gateways: Sequence[str] = ()

    @property
    def data(self) -> Path:
        """Where the broker's data lie."""
        return self.state.folder / "kafka"

    def status(self) -> StackStatus:
        """Return what the supervisor says now. Raises StandError if it is gone."""
        status = self.state.read()
        if status is None:
            raise StandError(f"no stack runs: {last_line(self.folder / 'supervisor.log')}")
        self._gateways = status.gateways or (status.gateway,)
        return status

    def gateways(self) -> Sequence[str]:
        """Return the URLs of the gateway replicas."""
        with suppress(StandError):
            self.status()
        return self._gateways

    def pid(self, name: str) -> int | None:
        """Return the pid of one replica, None while it does not run."""
        return next((service.pid for service in self.status().services if service.name == name), None)

    def names(self, service: str) -> list[str]:
        """Return the names of a service's replicas."""
        found = [status.name for status in self.status().services]
        return [name for name in found if name == service or name.startswith(f"{service}-")]

    def door(self) -> Door:
        """Return how clients reach it."""
        return Door(self.gateways, read_key(self.state), self.model, self.setup.deadline_s)

    async def until_ready(self, seconds: float = READY_S) -> None:
        """Return when every process is ready. Raises StandError."""
        deadline = time.monotonic() + seconds
        while True:
            status = self.state.read()
            if status is not None and status.ready:
                self.status()
                return
            if self._process is not None and self._process.poll() is not None:
                raise StandError(f"the stack ended: {last_line(self.folder / 'supervisor.log')}")
            if time.monotonic() > deadline:
                late = [s.name for s in status.services if s.state != "ready"] if status else ["supervisor"]
                raise StandError(f"not ready after {seconds:.0f} s: {', '.join(late)}")
            await asyncio.sleep(_POLL_S)

    async def scale(self, service: str, count: int) -> None:
        """Change the number of a service's replicas. Raises StandError."""
        await self.penstock("scale", f"{service}={count}")

    async def penstock(self, *words: str) -> str:
        """Run this tree's command for the stack, and return what it said. Raises StandError."""
        process = await asyncio.create_subprocess_exec(
            PENSTOCK,
            *words,
            env=self._environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        if process.returncode:
            raise StandError(f"penstock {' '.join(words)}: {said.decode().strip()}")
        return said.decode()

    async def start(self) -> None:
        """Start everything and return when it is ready. Raises StandError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.setup.real_model:
            self.stub.start()
        with (self.folder / "supervisor.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603  # returns at once; ours
                self._command(),
                cwd=find_root(),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),
            )
        await self.until_ready()
        self.model = await first_model(self.gateways()[0], read_key(self.state))

    def _command(self) -> list[str]:
        wishes = ",".join(f"{service}={count}" for service, count in self.setup.replicas.items())
        up = ["up", *(["--replicas", wishes] if wishes else [])]
        if not self.setup.variants:
            return [PENSTOCK, *up]
        programs = self.folder / "programs"
        write_programs(programs, self.setup.variants)
        return [sys.executable, "-m", "e2e.faults.launcher", str(programs), *up]

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PENSTOCK_", "OTEL_"))}
        ours = {
            "PENSTOCK_STATE": str(self.state.folder),
            "PENSTOCK_GATEWAY_PORT": "0",
            "PENSTOCK_REQUEST_TIMEOUT_S": f"{self.setup.deadline_s:g}",
        }
        if self.setup.real_model:
            ours["PENSTOCK_MODEL_ADAPTER"] = "none"  # the reader's answers are too short to be broken off
        else:
            ours |= {
                "PENSTOCK_BACKENDS": f"tgi+{self.stub.url}",
                "PENSTOCK_EMBEDDINGS": f"{self.stub.url}/tei",
            }
        return inherited | ours | dict(self.setup.settings)

    async def stop(self) -> None:
        """Stop everything that still runs."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(process.wait, _STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()  # its children die with it
                process.wait()
        await self.stub.stop()

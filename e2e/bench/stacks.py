"""The stacks of a run: Penstock by its own supervisor, in a folder of its own, and the stub beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from e2e.bench.errors import BenchError
from penstock.devstack.ask import first_model
from penstock.devstack.death import die_with_parent
from penstock.devstack.feed import found_here, ingest_aloud, local
from penstock.devstack.root import find_root
from penstock.devstack.run import Running, run_stack
from penstock.devstack.screen import StackScreen
from penstock.devstack.settings import StackSettings
from penstock.devstack.state import StateDir
from penstock.devstack.where import read_key
from penstock.messages.search import DEFAULT_STORE

_STOP_S = 5.0


@dataclass(frozen=True)
class Stack:
    """A stack that is ready."""

    gateway: str
    key: str
    model: str
    kafka: str
    backends: str
    inference: str | None
    """URL of the local inference service, if one runs."""
    pids: dict[str, int]
    console: Console
    since: float
    """Monotonic time of its start."""

    def say(self, what: str) -> None:
        """Tell the user what begins now, and after how many seconds."""
        self.console.print(f"    {what} ({time.monotonic() - self.since:.0f} s)")

    async def ingest_sample(self) -> None:
        """Bring the sample documents into the index."""
        files = found_here([str(find_root() / "e2e" / "sample")])
        await ingest_aloud(self.console, self.gateway, self.key, DEFAULT_STORE, local(files), len(files))


class Interrupted(Exception):
    """The user stopped the run; nothing of it runs any more."""


async def with_stack(
    console: Console, folder: Path, stub: str | None, work: Callable[[Stack], Awaitable[None]]
) -> None:
    """Start a stack whose state is in `folder`, do `work`, and stop the stack.

    Its model server is the `stub` at that URL, or the default one. Raises Interrupted after Ctrl-C.
    """
    settings = StackSettings(
        state=folder,
        backends=f"tgi+{stub}" if stub else None,
        embeddings=f"{stub}/tei" if stub else None,
        gateway_host="127.0.0.1",
        gateway_port=0,
    )
    state = StateDir(folder)
    since = time.monotonic()
    done = False

    async def supervised(running: Running) -> None:
        nonlocal done
        await running.supervisor.until_ready(settings.ready_timeout)
        running.screen.settled()
        await work(await _ready(running, state, console, since))
        done = True
        running.supervisor.stop()

    await run_stack(settings, state, StackScreen(console), supervised)
    if not done:
        raise Interrupted


async def _ready(running: Running, state: StateDir, console: Console, since: float) -> Stack:
    addresses = running.addresses
    key = read_key(state)
    port = addresses.inference_port
    statuses = running.supervisor.statuses()
    return Stack(
        gateway=addresses.gateway,
        key=key,
        model=await first_model(addresses.gateway, key),
        kafka=addresses.kafka,
        backends=addresses.backends,
        inference=f"http://127.0.0.1:{port}" if port else None,
        pids={status.name: status.pid for status in statuses if status.pid is not None},
        console=console,
        since=since,
    )


@dataclass(frozen=True)
class StubProcess:
    """A running stub."""

    url: str
    pid: int


@contextmanager
def running_stub() -> Iterator[StubProcess]:
    """A stub in a process of its own, without delays until it is told."""
    process = subprocess.Popen(
        [sys.executable, "-m", "e2e.stub", "--port", "0"],
        cwd=find_root(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=die_with_parent(os.getpid()),
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise BenchError(f"The stub did not start (code {process.wait()})")
        yield StubProcess(url, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

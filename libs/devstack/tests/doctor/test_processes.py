"""Real processes in every state in which a stack's processes can be."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from penstock.devstack.doctor import machine, processes
from penstock.devstack.doctor.scene import Needs, Scene
from penstock.devstack.service import CRASH_LOOP, ServiceSpec
from penstock.devstack.state import ServiceStatus, StackStatus, StateDir
from penstock.devstack.supervisor import Supervisor

MakeScene = Callable[..., Scene]
MakeSpec = Callable[..., ServiceSpec]
MakeStatus = Callable[..., StackStatus]
Spawn = Callable[..., tuple[int, str]]
Until = Callable[..., Awaitable[None]]

ONCE = """
import os, pathlib, time
mark = pathlib.Path(os.environ["TMP_FOLDER"], "lived")
first = not mark.exists()
mark.touch()
time.sleep(0.5 if first else 60)
"""


class Recorder:
    """Keeps ``stack.json`` true (port: Screen)."""

    def __init__(self, state: StateDir, make: MakeStatus) -> None:
        self.state = state
        self._make = make

    def changed(self, services: Sequence[ServiceStatus]) -> None:
        self.state.write(self._make(*services))

    def event(self, text: str) -> None:
        """Nobody looks."""


@asynccontextmanager
async def supervised(folder: Path, make: MakeStatus, specs: Sequence[ServiceSpec]) -> AsyncIterator[StateDir]:
    state = StateDir(folder)
    with state.supervising():
        supervisor = Supervisor(specs, Recorder(state, make), grace=1)
        life = asyncio.create_task(supervisor.run())
        try:
            yield state
        finally:
            supervisor.stop()
            supervisor.stop()
            await life


def states(state: StateDir) -> dict[str, ServiceStatus]:
    status = state.read()
    return {service.name: service for service in status.services} if status else {}


async def test_what_a_service_waits_for_why_it_crashes_and_that_it_ended(
    scene: MakeScene, stack: MakeStatus, make_spec: MakeSpec, until: Until, tmp_path: Path
) -> None:
    specs = [
        make_spec("healthy"),
        make_spec("waiter", ready_file=True),
        make_spec("crasher", "import sys; sys.exit('no model file')", ready_file=True),
        make_spec("mortal", ONCE),
    ]
    async with supervised(tmp_path / "state", stack, specs) as state:
        (state.folder / "logs").mkdir(exist_ok=True)
        (state.folder / "logs" / "crasher.log").symlink_to(tmp_path / "crasher.log")

        def settled() -> bool:
            now = states(state)
            mortal, crasher = now.get("mortal"), now.get("crasher")
            return bool(
                mortal
                and crasher
                and (mortal.state, mortal.restarts) == ("ready", 1)
                and crasher.restarts >= CRASH_LOOP
                and crasher.pid is None
                and now["waiter"].state == "waiting"
            )

        await until(settled)
        found = {one.looked_at: one for one in await processes.look(scene(state.read()))}
        assert found.keys() == {"waiter", "crasher", "mortal"}
        assert (found["waiter"].code, found["waiter"].severity) == ("process.not-ready", "error")
        assert "waits for its file" in found["waiter"].wrong
        assert (found["crasher"].code, found["crasher"].severity) == ("process.crashing", "error")
        assert "no model file" in found["crasher"].wrong
        assert (found["mortal"].code, found["mortal"].severity) == ("process.restarted", "warning")
        assert "ended once" in found["mortal"].wrong


async def test_a_process_that_is_stopped_and_the_supervisor_itself(
    scene: MakeScene, stack: MakeStatus, make_spec: MakeSpec, until: Until, tmp_path: Path
) -> None:
    async with supervised(tmp_path / "state", stack, [make_spec("sleeper")]) as state:
        await until(lambda: [one.state for one in states(state).values()] == ["ready"])
        pid = states(state)["sleeper"].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        [finding] = await processes.look(scene(state.read()))
        assert (finding.code, finding.looked_at) == ("process.stopped", "sleeper")
        assert f"kill -CONT {pid}" in finding.to_do


async def test_no_stack_at_all_and_one_that_was_killed(
    scene: MakeScene, spawn: Spawn, until: Until, tmp_path: Path
) -> None:
    [finding] = await processes.look(scene())
    assert (finding.code, finding.severity) == ("stack.none", "warning")
    pid, _ = spawn(
        "import pathlib; from penstock.devstack.state import StateDir\n"
        f"held = StateDir(pathlib.Path({str(tmp_path / 'state')!r})).supervising(); held.__enter__()"
    )
    [starting] = await processes.look(scene())
    assert (starting.code, f"pid {pid}" in starting.wrong) == ("stack.none", True)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: StateDir(tmp_path / "state").supervisor_pid() is None)
    [killed] = await processes.look(scene())
    assert (killed.code, killed.severity) == ("stack.killed", "error")
    assert f"pid {pid}" in killed.wrong


def up(state: Path, port: str) -> int:
    """The exit code of ``penstock up --detach``."""
    env = os.environ | {"PENSTOCK_STATE": str(state), "PENSTOCK_GATEWAY_PORT": port}
    command = [sys.executable, "-m", "penstock.devstack.cli", "up", "--detach"]
    return subprocess.run(command, env=env, check=False).returncode  # noqa: S603 this very Python


async def test_why_the_last_start_gave_up(scene: MakeScene, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert up(tmp_path / "state", port) == 1
    [finding] = await processes.look(scene())
    assert (finding.code, finding.severity) == ("stack.failed", "error")
    assert f"Port {port} on 127.0.0.1 is taken" in finding.wrong


HOLDER = """
import pathlib, socket, sys
folder = pathlib.Path({folder!r})
folder.mkdir(exist_ok=True)
file = (folder / "held.db").open("w")
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], end="")
"""


async def test_what_an_earlier_stack_has_left(scene: MakeScene, spawn: Spawn, tmp_path: Path) -> None:
    folder = str(tmp_path / "state")
    code = HOLDER.format(folder=folder)
    spawn(code, PENSTOCK_STATE=folder)  # somebody's program in whose shell the folder is named
    spawn(code, PENSTOCK_STATE=folder + "2", PENSTOCK_INSTANCE="gateway")  # of another stack
    pid, port = spawn(code, PENSTOCK_STATE=folder, PENSTOCK_INSTANCE="gateway")
    found = [one for one in await processes.look(scene()) if one.code != "stack.none"]
    assert [(one.code, one.severity) for one in found] == [("process.left-over", "error")]
    assert f"(pid {pid})" in found[0].looked_at
    assert f"port {port}" in found[0].wrong
    assert "the file held.db" in found[0].wrong
    assert f"kill {pid}" in found[0].to_do


async def test_files_and_memory_near_their_limits(scene: MakeScene, stack: MakeStatus, spawn: Spawn) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_{}, ({}, {}))\n"
    files, _ = spawn(limited.format("NOFILE", 64, 64) + "held = [open('/dev/null') for _ in range(58)]")
    wide = "import mmap; held = mmap.mmap(-1, 900 << 20)"
    memory, _ = spawn(limited.format("AS", 1000 << 20, 1000 << 20) + wide)
    healthy, _ = spawn("")
    names = {"many-files": files, "much-memory": memory, "healthy": healthy}
    services = [ServiceStatus(name=name, state="ready", pid=pid) for name, pid in names.items()]
    found = [one for one in await machine.look(scene(stack(*services))) if one.code != "machine.memory"]
    assert [(one.code, re.sub(r" \(pid \d+\)", "", one.looked_at)) for one in found] == [
        ("machine.few-files", "many-files"),
        ("machine.files", "many-files"),
        ("machine.process-memory", "much-memory"),
    ]
    assert " of 64 that it may have" in found[1].wrong
    assert " of 1.0 GB that it may have" in found[2].wrong


async def test_too_little_memory_is_left(scene: MakeScene) -> None:
    """Not made by filling this machine: it is told to need more than it can have."""
    found = await machine.look(scene(needs=Needs(memory_low=1 << 60)))
    assert [(one.code, one.severity) for one in found if one.code == "machine.memory"] == [
        ("machine.memory", "warning")
    ]
    found = await machine.look(scene(needs=Needs(memory_low=1 << 60, memory_least=1 << 59)))
    assert [one.severity for one in found if one.code == "machine.memory"] == ["error"]

"""A supervisor in a process of its own, ended in every way: nothing of it may go on running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

Until = Callable[[Callable[[], bool]], Awaitable[None]]
Gone = Callable[[int], bool]

SUPERVISOR = """
import asyncio, pathlib, signal, sys
from penstock.devstack.errors import DevstackError
from penstock.devstack.readiness import Readiness
from penstock.devstack.service import ServiceSpec
from penstock.devstack.state import StateDir
from penstock.devstack.supervisor import Supervisor

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if a shell began the tests with `&`
folder = pathlib.Path(sys.argv[1])
CHILD = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"

class Screen:
    def changed(self, services): pass
    def event(self, text): print(text, flush=True)

async def never():
    return Readiness(False)

def spec(name):
    command = (sys.executable, "-S", "-c", CHILD, str(folder / f"{name}.pid"))
    return ServiceSpec(name, command, never, folder / f"{name}.log")

async def main():
    with StateDir(folder / "state").supervising():
        await Supervisor([spec("a"), spec("b")], Screen()).run()

try:
    asyncio.run(main())
except DevstackError as error:
    sys.exit(str(error))
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 this very Python
        [sys.executable, "-c", SUPERVISOR, str(folder)], stderr=subprocess.PIPE
    )


def pids(folder: Path) -> list[int]:
    texts = [path.read_text() for path in sorted(folder.glob("*.pid")) if path.parent == folder]
    return [int(text) for text in texts if text]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_no_child_outlives_the_supervisor(
    number: signal.Signals, tmp_path: Path, until: Until, gone: Gone
) -> None:
    supervisor = start(tmp_path)
    try:
        await until(lambda: len(pids(tmp_path)) == 2)
        children = pids(tmp_path)
        assert not any(gone(pid) for pid in children)
        supervisor.send_signal(number)
        await until(lambda: supervisor.poll() is not None)
        await until(lambda: all(gone(pid) for pid in children))
    finally:
        supervisor.kill()
        supervisor.communicate()


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1])
async def test_ctrl_c_in_the_middle_of_the_start(
    delay: float, tmp_path: Path, until: Until, gone: Gone
) -> None:
    """Wherever the signal hits, the supervisor ends soon and takes along whatever it had started."""
    supervisor = start(tmp_path)
    try:
        await until(lambda: (tmp_path / "state" / "supervisor.pid").exists())
        deadline = os.times().elapsed + delay
        await until(lambda: os.times().elapsed >= deadline)
        supervisor.send_signal(signal.SIGINT)
        await until(lambda: supervisor.poll() is not None)
        await until(lambda: all(gone(pid) for pid in pids(tmp_path)))
    finally:
        supervisor.kill()
        supervisor.communicate()


async def test_a_second_supervisor_is_refused_and_a_stale_file_is_not_believed(
    tmp_path: Path, until: Until
) -> None:
    first = start(tmp_path)
    try:
        await until(lambda: len(pids(tmp_path)) == 2)
        second = start(tmp_path)
        _, message = second.communicate(timeout=10)
        assert second.returncode == 1
        assert f"A stack already runs here (pid {first.pid})".encode() in message
        first.kill()  # leaves its pid file behind
        first.wait()
        assert (tmp_path / "state" / "supervisor.pid").read_text().strip() == str(first.pid)
        for name in ("a.pid", "b.pid"):
            (tmp_path / name).unlink()
        third = start(tmp_path)
        try:
            await until(lambda: len(pids(tmp_path)) == 2)
            assert third.poll() is None
        finally:
            third.terminate()
            third.communicate(timeout=10)
    finally:
        first.kill()
        first.communicate()

"""`penstock restart`: one after the other, each when the one before is ready; a failure ends it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.devstack.errors import DevstackError
from penstock.devstack.readiness import Readiness
from penstock.devstack.restarting import chosen, restart
from penstock.devstack.service import ServiceSpec
from penstock.devstack.state import ServiceStatus, StackStatus, StateDir
from penstock.devstack.supervisor import Supervisor

PROGRAM = "import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch()\ntime.sleep(60)"


def status(services: Sequence[ServiceStatus], pid: int = 1) -> StackStatus:
    return StackStatus(
        pid=pid,
        ready=True,
        kafka="",
        kafka_is_ours=False,
        gateway="",
        backends="",
        embeddings="",
        services=tuple(services),
    )


class Written:
    """A screen that keeps ``stack.json`` true, and the history of who was ready."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self.ready: list[set[str]] = []

    def changed(self, services: Sequence[ServiceStatus]) -> None:
        pid = self._state.supervisor_pid()
        assert pid
        self._state.write(status(services, pid))
        self.ready.append({service.name for service in services if service.state == "ready"})

    def event(self, text: str) -> None: ...


@asynccontextmanager
async def running(tmp_path: Path, programs: dict[str, str]) -> AsyncIterator[tuple[StateDir, Written]]:
    """A supervisor with these processes, each ready when it has touched its file."""
    state = StateDir(tmp_path / "state")

    def spec(name: str, program: str) -> ServiceSpec:
        mark = tmp_path / f"{name}.ready"

        async def probe() -> Readiness:
            return Readiness(mark.exists())

        return ServiceSpec(
            name, (sys.executable, "-S", "-c", program, str(mark)), probe, state.log_file(name)
        )

    with state.supervising():
        written = Written(state)
        supervisor = Supervisor([spec(*item) for item in programs.items()], written)
        life = asyncio.create_task(supervisor.run())
        await supervisor.until_ready(20)
        try:
            yield state, written
        finally:
            supervisor.stop()
            await life


def pids(state: StateDir) -> dict[str, int | None]:
    found = state.read()
    assert found
    return {service.name: service.pid for service in found.services}


async def test_one_at_a_time_and_not_what_all_need(tmp_path: Path) -> None:
    names = ("kafka", "generation", "generation-2", "gateway")
    async with running(tmp_path, dict.fromkeys(names, PROGRAM)) as (state, written):
        before, said = pids(state), list[str]()
        written.ready.clear()
        await asyncio.to_thread(restart, state, [], said.append, 20)
        after = pids(state)
        assert {name for name in names if after[name] != before[name]} == {
            "generation",
            "generation-2",
            "gateway",
        }
        assert [line.partition(" (")[0] for line in said] == [f"{name} is ready again" for name in names[1:]]
        assert all(len(ready) >= len(names) - 1 for ready in written.ready), "never two at once"
        await asyncio.to_thread(restart, state, ["generation-2"], said.append, 20)
        assert [name for name in names if pids(state)[name] != after[name]] == ["generation-2"]


async def test_what_does_not_come_back_ends_it(tmp_path: Path) -> None:
    once = (
        "import os, pathlib, signal, sys\nmark = pathlib.Path(sys.argv[1])\n"
        "if (first := mark.with_suffix('.first')).exists(): sys.exit('no second time')\nfirst.touch()\n"
        "signal.signal(signal.SIGTERM, lambda *_: (mark.unlink(), os._exit(0)))\n" + PROGRAM
    )
    async with running(tmp_path, {"generation": once, "generation-2": PROGRAM}) as (state, _):
        before = pids(state)
        with pytest.raises(DevstackError, match=r"generation did not come back.*no second time.*left alone"):
            await asyncio.to_thread(restart, state, ["generation"], lambda _: None, 3)
        assert pids(state)["generation-2"] == before["generation-2"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["generator"], "No 'generator' runs here; there are: kafka, generation"),
        (["kafka"], "kafka was not started by this stack"),
    ],
)
def test_what_cannot_be_restarted(names: list[str], message: str) -> None:
    services = [
        ServiceStatus(name="kafka", state="ready"),
        ServiceStatus(name="generation", state="ready"),
    ]
    with pytest.raises(DevstackError, match=message):
        chosen(status(services), names)
    assert [one.name for one in chosen(status(services), [])] == ["generation"]


def test_without_a_stack(tmp_path: Path) -> None:
    with pytest.raises(DevstackError, match="No stack runs here"):
        restart(StateDir(tmp_path), [], lambda _: None, 1)

"""Real child processes: started, started again, stopped in order, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from penstock.devstack.errors import DevstackError
from penstock.devstack.readiness import Readiness
from penstock.devstack.service import ServiceSpec
from penstock.devstack.state import ServiceStatus
from penstock.devstack.supervisor import Supervisor

MakeSpec = Callable[..., ServiceSpec]
Until = Callable[[Callable[[], bool]], Awaitable[None]]
Gone = Callable[[int], bool]

STUBBORN = """
import signal, time, os, pathlib
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(os.environ["TMP_FOLDER"], "stubborn.ready").touch()
time.sleep(60)
"""
WITH_GRANDCHILD = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
folder = pathlib.Path(os.environ["TMP_FOLDER"])
(folder / "grandchild").write_text(str(child.pid))
(folder / "parent.ready").touch()
time.sleep(60)
"""
LOGS_ITS_END = """
import os, pathlib, signal, sys, time
def end(*_):
    with open(pathlib.Path(os.environ["TMP_FOLDER"], "order"), "a") as file:
        file.write(sys.argv[1] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path(os.environ["TMP_FOLDER"], sys.argv[1] + ".ready").touch()
time.sleep(60)
"""


class Screen(Protocol):
    events: list[str]

    def changed(self, services: object) -> None: ...

    def event(self, text: str) -> None: ...


def pid_of(supervisor: Supervisor, name: str) -> int:
    status = by_name(supervisor, name)
    assert status.pid is not None
    return status.pid


def by_name(supervisor: Supervisor, name: str) -> ServiceStatus:
    return next(status for status in supervisor.statuses() if status.name == name)


async def test_a_service_waits_until_it_is_ready(
    make_spec: MakeSpec, screen: Screen, until: Until, tmp_path: Path
) -> None:
    supervisor = Supervisor([make_spec("slow", ready_file=True)], screen)
    life = asyncio.create_task(supervisor.run())
    await until(lambda: by_name(supervisor, "slow").waiting_for == ("its file",))
    assert not supervisor.ready
    (tmp_path / "slow.ready").touch()
    await supervisor.until_ready(10)
    assert by_name(supervisor, "slow").waiting_for == ()
    supervisor.stop()
    await life


async def test_a_killed_process_is_started_again_and_reported(
    make_spec: MakeSpec, screen: Screen, until: Until
) -> None:
    supervisor = Supervisor([make_spec("a"), make_spec("b")], screen)
    life = asyncio.create_task(supervisor.run())
    await supervisor.until_ready(10)
    first, other = pid_of(supervisor, "a"), pid_of(supervisor, "b")
    os.kill(first, signal.SIGKILL)
    await until(lambda: by_name(supervisor, "a").restarts == 1 and supervisor.ready)
    assert pid_of(supervisor, "a") != first
    assert pid_of(supervisor, "b") == other
    assert screen.events == ["a ended (signal SIGKILL); starting it again in 0.2 s"]
    supervisor.stop()
    await life


async def test_the_end_of_one_process_has_all_others_asked_at_once(
    make_spec: MakeSpec, screen: Screen, until: Until, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.devstack.service._CALM_AFTER_S", 0.0)
    monkeypatch.setattr("penstock.devstack.service._POLL_CALM_S", 3600.0)
    (tmp_path / "stage.ready").touch()
    supervisor = Supervisor([make_spec("kafka"), make_spec("stage", ready_file=True)], screen)
    life = asyncio.create_task(supervisor.run())
    await supervisor.until_ready(10)
    (tmp_path / "stage.ready").unlink()
    os.kill(pid_of(supervisor, "kafka"), signal.SIGKILL)
    await until(lambda: by_name(supervisor, "stage").waiting_for == ("its file",))
    supervisor.stop()
    await life


async def test_a_crash_loop_is_named_once_with_the_last_words(
    make_spec: MakeSpec, screen: Screen, until: Until
) -> None:
    spec = make_spec("bad", "import sys; sys.exit('PENSTOCK_X is missing')", ready_file=True)
    supervisor = Supervisor([spec], screen)
    life = asyncio.create_task(supervisor.run())
    await until(lambda: by_name(supervisor, "bad").restarts >= 4)
    assert by_name(supervisor, "bad").state == "crashing"
    loops = [event for event in screen.events if "keeps ending" in event]
    assert len(loops) == 1
    assert "bad keeps ending (code 1): PENSTOCK_X is missing" in loops[0]
    assert len(screen.events) == 3
    supervisor.stop()
    await life


async def test_waiting_for_ready_gives_up_on_a_crash_loop(make_spec: MakeSpec, screen: Screen) -> None:
    supervisor = Supervisor([make_spec("bad", "import sys; sys.exit(3)", ready_file=True)], screen)
    with pytest.raises(DevstackError, match="bad ended 5 times without becoming ready"):
        await supervisor.run(lambda: supervisor.until_ready(30))


async def test_waiting_for_ready_names_what_is_late(make_spec: MakeSpec, screen: Screen) -> None:
    supervisor = Supervisor([make_spec("quick"), make_spec("slow", ready_file=True)], screen)
    with pytest.raises(DevstackError, match=r"Not ready after 1 s: slow is waiting for its file$"):
        await supervisor.run(lambda: supervisor.until_ready(1))


async def test_a_missing_program_is_a_crash_and_not_the_end(
    screen: Screen, until: Until, tmp_path: Path
) -> None:
    async def probe() -> Readiness:
        raise AssertionError("nothing runs")

    spec = ServiceSpec("none", ("/no/such/program",), probe, tmp_path / "none.log")
    supervisor = Supervisor([spec], screen)
    life = asyncio.create_task(supervisor.run())
    await until(lambda: len(screen.events) >= 2)
    assert screen.events[0].startswith("none ended (code 127)")
    supervisor.stop()
    await life
    assert "No such file" in (tmp_path / "none.log").read_text()


async def test_a_log_that_cannot_be_written_does_not_end_the_others(
    make_spec: MakeSpec, screen: Screen, until: Until, tmp_path: Path
) -> None:
    fine = make_spec("fine")
    broken = replace(make_spec("broken"), log_file=tmp_path / "no-such-folder" / "broken.log")
    supervisor = Supervisor([fine, broken], screen)
    life = asyncio.create_task(supervisor.run())
    await until(lambda: len(screen.events) >= 2)
    assert "broken cannot be started without its log: " in screen.events[0]
    await until(lambda: {one.name: one.state for one in supervisor.statuses()}["fine"] == "ready")
    supervisor.stop()
    await life


async def test_what_others_need_stops_last(make_spec: MakeSpec, screen: Screen, tmp_path: Path) -> None:
    specs = []
    for name, last in (("kafka", True), ("stage", False)):
        spec = make_spec(name, LOGS_ITS_END, ready_file=True, stop_last=last)
        specs.append(
            ServiceSpec(
                name, (*spec.command, name), spec.probe, spec.log_file, spec.env, stop_last=spec.stop_last
            )
        )
    supervisor = Supervisor(specs, screen)

    async def stop_when_ready() -> None:
        await supervisor.until_ready(10)
        supervisor.stop()

    await supervisor.run(stop_when_ready)
    assert (tmp_path / "order").read_text().split() == ["stage", "kafka"]


async def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(
    make_spec: MakeSpec, screen: Screen, gone: Gone
) -> None:
    supervisor = Supervisor([make_spec("stubborn", STUBBORN, ready_file=True)], screen, grace=0.3)
    life = asyncio.create_task(supervisor.run())
    await supervisor.until_ready(10)
    pid = pid_of(supervisor, "stubborn")
    started = time.monotonic()
    supervisor.stop()
    await life
    assert 0.2 < time.monotonic() - started < 5
    assert gone(pid)
    assert screen.events == ["stubborn did not end within 0.3 s: killed"]


async def test_a_second_stop_waits_for_nothing(make_spec: MakeSpec, screen: Screen, gone: Gone) -> None:
    supervisor = Supervisor([make_spec("stubborn", STUBBORN, ready_file=True)], screen, grace=60)
    life = asyncio.create_task(supervisor.run())
    await supervisor.until_ready(10)
    pid = pid_of(supervisor, "stubborn")
    supervisor.stop()
    await asyncio.sleep(0)
    supervisor.stop()
    await asyncio.wait_for(life, 5)
    assert gone(pid)


async def test_a_grandchild_goes_with_its_parent(
    make_spec: MakeSpec, screen: Screen, until: Until, gone: Gone, tmp_path: Path
) -> None:
    supervisor = Supervisor([make_spec("parent", WITH_GRANDCHILD, ready_file=True)], screen)
    life = asyncio.create_task(supervisor.run())
    await supervisor.until_ready(10)
    grandchild = int((tmp_path / "grandchild").read_text())
    assert not gone(grandchild)
    supervisor.stop()
    await life
    await until(lambda: gone(grandchild))


async def test_an_error_of_the_work_stops_everything(make_spec: MakeSpec, screen: Screen, gone: Gone) -> None:
    supervisor = Supervisor([make_spec("a")], screen)
    pids: list[int] = []

    async def fail() -> None:
        await supervisor.until_ready(10)
        pids.append(pid_of(supervisor, "a"))
        raise DevstackError("no documents")

    with pytest.raises(DevstackError, match="no documents"):
        await supervisor.run(fail)
    assert gone(pids[0])
    assert by_name(supervisor, "a").state == "stopped"


async def test_services_come_and_go_while_others_run(make_spec: MakeSpec, screen: Screen, gone: Gone) -> None:
    supervisor = Supervisor([make_spec("stage"), make_spec("gateway")], screen)
    life = asyncio.create_task(supervisor.run())
    await supervisor.until_ready(10)
    stays = pid_of(supervisor, "stage")
    supervisor.add([make_spec("stage-2"), make_spec("stage-3")])
    assert not supervisor.ready
    await supervisor.until_ready(10)
    names = [status.name for status in supervisor.statuses()]
    assert names == ["stage", "stage-2", "stage-3", "gateway"]
    leaves, other = pid_of(supervisor, "stage-3"), pid_of(supervisor, "stage-2")
    await supervisor.remove({"stage-3"})
    assert [status.name for status in supervisor.statuses()] == ["stage", "stage-2", "gateway"]
    assert gone(leaves)
    assert (pid_of(supervisor, "stage"), pid_of(supervisor, "stage-2")) == (stays, other)
    await supervisor.remove({"no such"})
    supervisor.stop()
    await life
    assert gone(stays)
    assert gone(other)
    assert screen.events == []


async def test_a_removed_service_that_ignores_sigterm_is_killed_after_the_grace(
    make_spec: MakeSpec, screen: Screen, gone: Gone
) -> None:
    supervisor = Supervisor(
        [make_spec("a"), make_spec("stubborn", STUBBORN, ready_file=True)], screen, grace=0.3
    )
    life = asyncio.create_task(supervisor.run())
    await supervisor.until_ready(10)
    pid = pid_of(supervisor, "stubborn")
    await supervisor.remove({"stubborn"})
    assert gone(pid)
    assert screen.events == ["stubborn did not end within 0.3 s: killed"]
    assert supervisor.ready
    supervisor.stop()
    await life


async def test_a_stop_amid_a_removal_ends_everything(make_spec: MakeSpec, screen: Screen, gone: Gone) -> None:
    supervisor = Supervisor(
        [make_spec("a"), make_spec("stubborn", STUBBORN, ready_file=True)], screen, grace=0.5
    )
    pids: list[int] = []

    async def remove() -> None:
        await supervisor.until_ready(10)
        pids.extend([pid_of(supervisor, "a"), pid_of(supervisor, "stubborn")])
        await supervisor.remove({"stubborn"})

    life = asyncio.create_task(supervisor.run(remove))
    while by_name(supervisor, "stubborn").state != "stopping":  # noqa: ASYNC110 other processes set no event of ours
        await asyncio.sleep(0.01)
    supervisor.stop()
    await asyncio.wait_for(life, 5)
    assert all(gone(pid) for pid in pids)

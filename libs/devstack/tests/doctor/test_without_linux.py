"""What the command does on systems without prctl, process limits and visible connections, such as macOS."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from penstock.devstack import death
from penstock.devstack.death import die_with_parent
from penstock.devstack.doctor import machine, ports
from penstock.devstack.doctor.scene import Scene, Unchecked
from penstock.devstack.state import ServiceStatus, StackStatus


@pytest.fixture
def macos(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "platform", "darwin")
    death._log_degraded.cache_clear()
    yield
    death._log_degraded.cache_clear()


@pytest.mark.usefixtures("macos")
def test_children_start_and_one_line_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        hook = die_with_parent(os.getpid())
        assert subprocess.run(["true"], preexec_fn=hook, check=False).returncode == 0  # noqa: S607
    logged = [record for record in caplog.records if record.name == death.__name__]
    assert [(record.levelno, "kill -9" in record.message) for record in logged] == [(logging.WARNING, True)]


async def test_doctor_skips_process_limits(
    monkeypatch: pytest.MonkeyPatch, scene: Callable[..., Scene], stack: Callable[..., StackStatus]
) -> None:
    monkeypatch.delattr(psutil.Process, "rlimit")
    alive = ServiceStatus(name="gateway", state="ready", pid=os.getpid())
    found = await machine.look(scene(stack(alive)))
    assert [one.code for one in found if one.code != "machine.memory"] == []


@pytest.fixture
def hidden_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)


@pytest.mark.usefixtures("hidden_connections")
async def test_doctor_says_what_it_cannot_see(
    scene: Callable[..., Scene], stack: Callable[..., StackStatus]
) -> None:
    running = stack(ServiceStatus(name="gateway", state="ready", pid=os.getpid()), gateways=["http://h:1"])
    with pytest.raises(Unchecked, match="only root may see"):
        await ports.look(scene(running))


@pytest.mark.usefixtures("hidden_connections")
async def test_doctor_still_finds_a_taken_port(
    monkeypatch: pytest.MonkeyPatch, scene: Callable[..., Scene]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("PENSTOCK_GATEWAY_PORT", str(port))
        found = await ports.look(scene())
    assert [(one.code, one.wrong) for one in found] == [("ports.taken", "It is held by another process.")]

"""A stack that outlives the command that started it, and stopping one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from rich.console import Console

from penstock.devstack.errors import DevstackError
from penstock.devstack.state import StackStatus, StateDir, last_line

_STOP_TIMEOUT_S = 20.0
"""Longer than the supervisor's own grace."""
_POLL_S = 0.1


def start(
    state: StateDir,
    console: Console,
    timeout: float,
    replicas: Mapping[str, int] | None = None,
    *,
    secure: bool | None = None,
) -> StackStatus:
    """Starts ``penstock up`` in a session of its own and returns when it is ready.

    DevstackError, and nothing left running, if it ends, is not ready in time, or the user presses Ctrl-C.
    """
    pid = state.supervisor_pid()
    if pid is not None:
        raise DevstackError(f"A stack already runs here (pid {pid}): see `penstock status`")
    with state.fresh_log("supervisor").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 this very Python
            [sys.executable, "-m", "penstock.devstack.cli", "up", *_options(replicas or {}, secure)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"PENSTOCK_STATE": str(state.folder)},
            start_new_session=True,
        )
    try:
        return _until_ready(state, console, process, timeout)
    except (DevstackError, KeyboardInterrupt):
        _end(process)
        raise


def _options(replicas: Mapping[str, int], secure: bool | None) -> list[str]:
    counts = ",".join(f"{service}={count}" for service, count in replicas.items())
    security = [] if secure is None else ["--secure" if secure else "--no-secure"]
    return [*(["--replicas", counts] if counts else []), *security]


def _until_ready(
    state: StateDir, console: Console, process: subprocess.Popen[bytes], timeout: float
) -> StackStatus:
    deadline = time.monotonic() + timeout
    shown: set[str] = set()
    while True:
        if process.poll() is not None:
            raise DevstackError(last_line(state.log_file("supervisor")).removeprefix("penstock: "))
        status = state.read()
        if status is not None and status.pid == process.pid:
            for service in status.services:
                if service.state == "ready" and service.name not in shown:
                    shown.add(service.name)
                    console.print(f"    {service.name} is ready")
            if status.ready:
                return status
            _raise_if_hopeless(status, state)
        if time.monotonic() > deadline:
            late = [service.name for service in status.services if service.state != "ready"] if status else []
            names = ", ".join(late) or "the supervisor"
            raise DevstackError(f"Not ready after {timeout:g} s: {names}; see {state.logs}")
        time.sleep(_POLL_S)


def _raise_if_hopeless(status: StackStatus, state: StateDir) -> None:
    for service in status.services:
        if service.hopeless:
            raise DevstackError(
                f"{service.name} ended {service.restarts} times without becoming ready:"
                f" {last_line(state.log_file(service.name))} (see {state.log_file(service.name)})"
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()  # its children die with it


def stop(state: StateDir) -> bool:
    """Stops the stack of this state folder and waits for its end; False if none runs."""
    pid = state.supervisor_pid()
    if pid is None:
        return False
    _send(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while state.supervisor_pid() == pid:
        if time.monotonic() > deadline:
            _send(pid, signal.SIGKILL)  # the services die with it
            return True
        time.sleep(_POLL_S)
    return True


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has just ended
    except PermissionError:
        raise DevstackError(f"The stack (pid {pid}) belongs to another user") from None

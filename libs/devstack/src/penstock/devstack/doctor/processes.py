"""Processes: why no stack runs, what is not ready or ends again and again, what an earlier stack has left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from penstock.devstack.doctor.finding import Finding, error, warning
from penstock.devstack.doctor.ports import told
from penstock.devstack.doctor.runner import in_thread
from penstock.devstack.doctor.scene import Scene
from penstock.devstack.doctor.words import some
from penstock.devstack.state import ServiceStatus, StateDir, last_line

_REFUSAL = "penstock: "
"""How the supervisor's last line begins if it has given up."""


async def look(scene: Scene) -> list[Finding]:
    """Every process that belongs to this state folder, or should."""
    return await in_thread(_look, scene)


def _look(scene: Scene) -> list[Finding]:
    pid = scene.state.supervisor_pid()
    status = scene.status
    services = status.services if status else ()
    return [
        *(_none_runs(scene.state, pid) if status is None else ()),
        *(finding for service in services for finding in _service(scene.state, service)),
        *_stopped(pid, services),
        *_left_over(scene.state.folder, pid),
    ]


def _none_runs(state: StateDir, pid: int | None) -> Iterator[Finding]:
    where = str(state.folder)
    if pid is not None:
        text = f"A stack is just starting (pid {pid}) and has told nothing yet."
        yield warning("stack.none", where, text, "Look again in a moment.")
        return
    log = state.log_file("supervisor")
    said = last_line(log) if log.exists() else ""
    killed = _unfinished(state.pid_file)
    if killed:
        yield error(
            "stack.killed",
            where,
            f"The stack that ran here (pid {killed}) ended without being stopped: it was killed, ran out of"
            " memory, or the machine was restarted. Nothing that was accepted is lost.",
            '`penstock up --detach`. If it happens again, look for "out of memory" in `dmesg`.',
        )
    elif said.startswith(_REFUSAL):
        yield error(
            "stack.failed",
            str(log),
            f"The last start gave up: {said.removeprefix(_REFUSAL)}.",
            "Put that right, then `penstock up --detach`.",
        )
    else:
        yield warning("stack.none", where, "No stack runs with this state folder.", "`penstock up --detach`.")


def _unfinished(pid_file: Path) -> str:
    """The pid that a supervisor wrote and did not take back; nobody holds the lock any more."""
    try:
        return pid_file.read_text("ascii", errors="replace").strip()
    except OSError:
        return ""


def _service(state: StateDir, service: ServiceStatus) -> Iterator[Finding]:
    name, log = service.name, state.log_file(service.name)
    read = f"`penstock logs {name}`."
    if service.state in ("crashing", "restarting"):
        yield error(
            "process.crashing",
            name,
            f"It ended {service.restarts} times, and is started again. Its last words: {last_line(log)}",
            f"Put that right; more in {read}",
        )
    elif service.waiting_for:
        yield error(
            "process.not-ready",
            name,
            f"It runs, but is not ready. It waits for {'; '.join(service.waiting_for)}.",
            f"Put that right first (other findings may say how); more in {read}",
        )
    elif service.state != "ready":
        why = "starting, or too busy to answer" if service.state in ("starting", "waiting") else service.state
        to_do = f"Look again in a moment; if it stays so, {read}"
        yield warning("process.not-ready", name, f"It is not ready: {why}.", to_do)
    elif service.restarts:
        times = "once" if service.restarts == 1 else f"{service.restarts} times"
        yield warning(
            "process.restarted", name, f"It works, but ended {times} since the stack was started.", read
        )


def _stopped(supervisor: int | None, services: Sequence[ServiceStatus]) -> Iterator[Finding]:
    """Processes that are there but do nothing: Ctrl-Z, or SIGSTOP."""
    named = [("the supervisor", supervisor), *((service.name, service.pid) for service in services)]
    for name, pid in named:
        try:
            stopped = pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED
        except psutil.Error:
            continue  # it has just ended: the supervisor says so
        if stopped:
            text = f"It is stopped (pid {pid}), by Ctrl-Z or SIGSTOP, and does nothing."
            yield error("process.stopped", name, text, f"`kill -CONT {pid}`, or `fg` in its terminal.")


def _left_over(state: Path, supervisor: int | None) -> Iterator[Finding]:
    for process in psutil.process_iter():
        try:
            if not _of_this_folder(process, state) or _in_family(process, supervisor):
                continue
            holds = some(_holdings(process, state)) or "nothing that others need"
            found = told(process)
        except psutil.Error:
            continue  # not ours to see, or it has just ended
        yield error(
            "process.left-over",
            found,
            f"It is of a stack that ran here before, and goes on without a supervisor. It holds {holds}.",
            f"`kill {process.pid}`; if it stays, `kill -9 {process.pid}`.",
        )


def _of_this_folder(process: psutil.Process, state: Path) -> bool:
    """Whether the supervisor of this state folder has started it, or what it has started has."""
    if any(str(state / "kafka") in word for word in process.cmdline()) and "java" in process.name():
        return True
    environ = process.environ()
    return bool(environ.get("PENSTOCK_INSTANCE")) and environ.get("PENSTOCK_STATE") == str(state)


def _in_family(process: psutil.Process, supervisor: int | None) -> bool:
    """Whether it is of the stack that runs, or is what looks."""
    me = psutil.Process()
    if process.pid == me.pid or process.pid in {parent.pid for parent in me.parents()}:
        return True
    return supervisor is not None and supervisor in {parent.pid for parent in process.parents()}


def _holdings(process: psutil.Process, state: Path) -> list[str]:
    ports = {
        connection.laddr.port
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr
    }
    files = {
        Path(file.path).relative_to(state).as_posix()
        for file in process.open_files()
        if _below(file.path, state)
    }
    return [*(f"port {port}" for port in sorted(ports)), *(f"the file {name}" for name in sorted(files))]


def _below(path: str, folder: Path) -> bool:
    return Path(path).is_relative_to(folder)

"""Ports that somebody else holds, and who that is."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import psutil
from pydantic import ValidationError

from penstock.devstack.doctor.finding import Finding, error
from penstock.devstack.doctor.runner import in_thread
from penstock.devstack.doctor.scene import Scene, Unchecked
from penstock.devstack.network import listen_error
from penstock.devstack.replicas import GATEWAY, service_of
from penstock.devstack.settings import StackSettings


async def look(scene: Scene) -> list[Finding]:
    """Whether the gateway's port is free or, with a stack, whether its own processes hold its ports."""
    return await in_thread(_look, scene)


def _look(scene: Scene) -> list[Finding]:
    if scene.status is not None:
        return list(_held_by_others(scene))
    try:
        settings = StackSettings()
    except ValidationError as failure:
        raise Unchecked("the settings cannot be used") from failure
    problem = listen_error(settings.gateway_port, settings.gateway_host) if settings.gateway_port else None
    if problem is None or problem.errno != errno.EADDRINUSE:
        return []
    try:
        found = holders(settings.gateway_port)
    except Unchecked:  # it is taken, by a process that we cannot name
        found = []
    return [_taken(settings.gateway_port, "the gateway's", found)]


def _held_by_others(scene: Scene) -> Iterator[Finding]:
    for name, port in _ports(scene):
        service = scene.service(name)
        found = holders(port)
        if not found or service is None or (service.pid is not None and None in found):
            continue  # nobody listens: that is for the processes' check to say; or it may well be our own
        if not any(_belongs_to(holder, service.pid) for holder in found):
            yield _taken(port, f"{name}'s", found)


def _ports(scene: Scene) -> Iterator[tuple[str, int]]:
    status = scene.status
    if status is None:
        return
    names = [service.name for service in status.services if service_of(service.name) == GATEWAY]
    for name, url in zip(names, status.gateways, strict=False):
        yield name, int(url.rpartition(":")[2])
    if scene.kafka_is_ours:
        yield "kafka", int(status.kafka.rpartition(":")[2])


def holders(port: int) -> list[psutil.Process | None]:
    """Who listens on a port of this machine; None for a process that we may not see.

    Raises Unchecked where only root may see connections, as on macOS.
    """
    found: dict[int | None, psutil.Process | None] = {}
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied as failure:
        raise Unchecked("only root may see who listens on a port here") from failure
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or connection.laddr.port != port:
            continue
        try:
            found[connection.pid] = psutil.Process(connection.pid) if connection.pid else None
        except psutil.NoSuchProcess:
            continue
    return list(found.values())


def _belongs_to(holder: psutil.Process | None, pid: int | None) -> bool:
    if holder is None or pid is None:
        return False
    try:
        return holder.pid == pid or any(parent.pid == pid for parent in holder.parents())
    except psutil.Error:
        return False


def told(process: psutil.Process) -> str:
    """A process in words, without its arguments, which may hold secrets."""
    try:
        return f"{process.name()} (pid {process.pid})"
    except psutil.Error:
        return f"pid {process.pid}"


def _taken(port: int, whose: str, found: list[psutil.Process | None]) -> Finding:
    known = [told(process) for process in found if process is not None]
    who = ", ".join(known) or ("a process of another user" if found else "another process")
    stop = f"stop it (`kill {found[0].pid}`)" if len(found) == 1 and found[0] is not None else "stop it"
    return error(
        "ports.taken",
        f"port {port}, {whose}",
        f"It is held by {who}.",
        f"Either {stop}, or set PENSTOCK_GATEWAY_PORT to another one (0 picks a free one)."
        if "gateway" in whose
        else f"{stop[0].upper()}{stop[1:]}, then `penstock down` and `penstock up`.",
    )

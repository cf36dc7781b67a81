"""Changes how many replicas run: `penstock scale` leaves a request in a file, the supervisor fulfils it.

A file needs no server in the supervisor, and nothing is lost when either side is interrupted; what came of
it is seen in ``stack.json``, a refusal in a file beside the request. Requests are of mode 600 in a folder of
mode 700, one file each, so that two commands at once do not overwrite each other; their names begin with the
time, the oldest is fulfilled first.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from penstock.devstack.errors import DevstackError
from penstock.devstack.replicas import SCALABLE, parse_replicas, replica_names, service_of
from penstock.devstack.stack import Plan
from penstock.devstack.state import ServiceStatus, StackStatus, StateDir, last_line
from penstock.devstack.supervisor import Supervisor

_POLL_S = 0.1
_POLL_REQUESTS_S = 0.5
_REFUSED = ".refused"


class ScaleRequest(NamedTuple):
    """How many replicas of which services are wanted, and where it was asked; None if it cannot be read."""

    file: Path
    replicas: dict[str, int] | None

    def refuse(self, reason: str) -> None:
        """Tell the waiting command why it will not be fulfilled."""
        partial = self.file.with_suffix(".reason")
        partial.write_text(reason)
        partial.replace(self.file.with_suffix(_REFUSED))


class ScaleRequests:
    """The requests that wait in one state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def clear(self) -> None:
        """Forgets what nobody fulfilled: it was meant for another run."""
        for file in self._folder.glob("*"):
            file.unlink(missing_ok=True)

    def add(self, replicas: Mapping[str, int]) -> Path:
        """Leaves a request and returns its file; a reader never sees half of it."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        partial = self._folder / f"{time.time_ns():020d}-{os.getpid()}.partial"
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(replicas))
        return partial.rename(partial.with_suffix(".json"))

    def take(self) -> ScaleRequest | None:
        """The oldest request, whose file is gone then, or None."""
        for file in sorted(self._folder.glob("*.json")):
            try:
                replicas = msgspec.json.decode(file.read_bytes(), type=dict[str, int])
            except (OSError, msgspec.DecodeError):
                replicas = None
            file.unlink(missing_ok=True)
            return ScaleRequest(file, replicas)
        return None


def refusal_of(file: Path) -> str | None:
    """Why a request was refused, or None; it is told once."""
    refused = file.with_suffix(_REFUSED)
    if not refused.exists():
        return None
    reason = refused.read_text()
    refused.unlink(missing_ok=True)
    return reason


@dataclass(frozen=True)
class Scaler:
    """Fulfils requests in the supervisor's process."""

    supervisor: Supervisor
    plan: Plan
    requests: ScaleRequests

    async def run(self, report: Callable[[str], None]) -> None:
        """Never returns; ``report`` and the command that asked get the reason for each refusal."""
        while True:
            request = self.requests.take()
            if request is not None:
                await self._fulfil(request, report)
            await asyncio.sleep(_POLL_REQUESTS_S)

    async def _fulfil(self, request: ScaleRequest, report: Callable[[str], None]) -> None:
        try:
            if request.replicas is None:
                raise DevstackError("the request cannot be read")
            await self.scale(parse_replicas([f"{name}={count}" for name, count in request.replicas.items()]))
        except (DevstackError, OSError) as error:
            report(f"not scaled: {error}")
            request.refuse(str(error))

    async def scale(self, replicas: Mapping[str, int]) -> None:
        """Starts what is missing, then stops what is too much: the replicas with the highest numbers."""
        present = [status.name for status in self.supervisor.statuses()]
        wanted = [name for service, count in replicas.items() for name in replica_names(service, count)]
        self.supervisor.add([self.plan.replica(name) for name in wanted if name not in present])
        surplus = {name for name in present if service_of(name) in replicas and name not in wanted}
        await self.supervisor.remove(surplus)
        for name in surplus:
            self.plan.gateways.pop(name, None)
            self.plan.indexes.pop(name, None)


def scale(
    state: StateDir, replicas: Mapping[str, int], say: Callable[[str], None], timeout: float
) -> StackStatus:
    """Asks the running supervisor for so many replicas; returns when they are ready and no others are left.

    ``say`` is told each step. DevstackError if no stack runs, the supervisor refuses, or a replica is not
    ready in time.
    """
    before = _status(state)
    wanted = {name for service, count in replicas.items() for name in replica_names(service, count)}
    request = ScaleRequests(state.scale_requests).add(replicas)
    started = time.monotonic()
    seen: dict[str, str] = {s.name: s.state for s in before.services if service_of(s.name) in replicas}
    while True:
        if (reason := refusal_of(request)) is not None:
            raise DevstackError(f"Not scaled: {reason}")
        status = _status(state)
        now = {service.name: service for service in status.services if service_of(service.name) in replicas}
        _tell(seen, now, lambda text: say(f"{text} ({time.monotonic() - started:.1f} s)"))
        late = sorted(
            wanted - {name for name, service in now.items() if service.state == "ready"}, key=_order
        )
        if not late and now.keys() == wanted:
            return status
        _raise_if_hopeless(state, [service for name, service in now.items() if name in wanted])
        if time.monotonic() - started > timeout:
            names = ", ".join([*late, *sorted(now.keys() - wanted)])
            raise DevstackError(f"Not done after {timeout:g} s: {names}; see `penstock status`")
        time.sleep(_POLL_S)


def _status(state: StateDir) -> StackStatus:
    status = state.read()
    if status is None:
        raise DevstackError("No stack runs here: start one with `penstock up`")
    return status


def _tell(seen: dict[str, str], now: Mapping[str, ServiceStatus], say: Callable[[str], None]) -> None:
    """Says what differs from ``seen``, and brings it up to date."""
    for name, service in now.items():
        if seen.get(name) != service.state and service.state in ("ready", "stopping", "crashing"):
            say(f"{name} is {service.state}")
        seen[name] = service.state
    for name in [name for name in seen if name not in now]:
        say(f"{name} is gone")
        del seen[name]


def _raise_if_hopeless(state: StateDir, services: Sequence[ServiceStatus]) -> None:
    for service in services:
        if service.hopeless:
            log = state.log_file(service.name)
            raise DevstackError(
                f"{service.name} ended {service.restarts} times: {last_line(log)} (see {log})"
            )


def _order(name: str) -> tuple[int, int, str]:
    service = service_of(name)
    return (SCALABLE.index(service), len(name), name)

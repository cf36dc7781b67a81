"""Replaces processes of a running stack one by one, each when the one before is ready again.

The supervisor starts whatever ends, from the program that lies there by then; so it is asked for nothing,
and one of an older version does as well. What the processes need while they drain (Kafka, the engine) is
only restarted by name.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from penstock.devstack.errors import DevstackError
from penstock.devstack.replicas import service_of
from penstock.devstack.state import ServiceStatus, StackStatus, StateDir, last_line
from penstock.devstack.where import running_here

_NEEDED_BY_ALL = ("kafka", "inference")
_READERS_FIRST = ("postprocessing", "generation", "retrieval", "tokenization")
"""A stage of a new version may write what the next stage of the old one does not know."""
_POLL_S = 0.1


def chosen(status: StackStatus, names: Sequence[str]) -> list[ServiceStatus]:
    """The processes that are meant: a service's name means all its replicas, no name all but Kafka and model.

    They come in the order in which to replace them: of the line, those that read before those that write.
    DevstackError for a name that nothing has, or that is not ours to restart.
    """
    present = status.services
    if not names:
        return sorted((one for one in present if one.name not in _NEEDED_BY_ALL), key=_place)
    for name in names:
        if not any(name in (one.name, service_of(one.name)) for one in present):
            raise DevstackError(f"No {name!r} runs here; there are: {', '.join(one.name for one in present)}")
    if "kafka" in names and not status.kafka_is_ours:
        raise DevstackError("kafka was not started by this stack: restart it where it runs")
    wanted = (one for one in present if one.name in names or service_of(one.name) in names)
    return sorted(wanted, key=_place)


def _place(one: ServiceStatus) -> int:
    service = service_of(one.name)
    return _READERS_FIRST.index(service) if service in _READERS_FIRST else len(_READERS_FIRST)


def restart(state: StateDir, names: Sequence[str], say: Callable[[str], None], timeout: float) -> None:
    """SIGTERM to each process in turn; the next one when its successor is ready. ``say`` is told each step.

    One that drains for long is waited for. DevstackError if no stack runs, a name is wrong, or one is not
    ready within ``timeout`` seconds: then the processes after it were left alone.
    """
    for one in chosen(running_here(state), names):
        began = time.monotonic()
        _replace(state, one.name, began + timeout)
        say(f"{one.name} is ready again ({time.monotonic() - began:.1f} s)")


def _replace(state: StateDir, name: str, deadline: float) -> None:
    before = _now(state, name)
    _stop(before.pid)
    while True:
        now = _now(state, name)
        if now.pid not in (None, before.pid) and now.state == "ready":
            return
        _raise_if_late(state, now, before.pid, deadline)
        time.sleep(_POLL_S)


def _now(state: StateDir, name: str) -> ServiceStatus:
    for service in running_here(state).services:
        if service.name == name:
            return service
    raise DevstackError(f"{name} is gone: somebody has scaled it away")


def _raise_if_late(state: StateDir, now: ServiceStatus, old: int | None, deadline: float) -> None:
    if not now.hopeless and time.monotonic() < deadline:
        return
    log = state.log_file(now.name)
    waits = f" for {', '.join(now.waiting_for)}" if now.waiting_for else ""
    what = "did not end" if now.pid and now.pid == old else f"did not come back, it is {now.state}{waits}"
    raise DevstackError(
        f"{now.name} {what}: {last_line(log)} (see {log}); what comes after it was left alone"
    )


def _stop(pid: int | None) -> None:
    """SIGTERM to the process and what it has started; the supervisor gives each a group of its own."""
    if pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)

"""The state folder: who supervises, what the stack looks like now, and where its logs are."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

import msgspec

from penstock.devstack.errors import DevstackError

State = Literal["starting", "waiting", "ready", "restarting", "crashing", "stopping", "stopped"]


GIVE_UP_AFTER = 5
"""After so many ends without having been ready, whoever waits for a start gives it up."""
_SILENT = "it said nothing"
_LOCK_S = 5.0
LOG_BYTES = 50_000_000
"""A log that is longer is rotated, so that a service keeps two of them at most."""


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``penstock status``. ``pid`` is None while nothing runs."""

    name: str
    state: State
    pid: int | None = None
    restarts: int = 0
    waiting_for: tuple[str, ...] = ()

    @property
    def hopeless(self) -> bool:
        """Whether it has ended so often at its start that nobody need wait for it."""
        return self.state == "crashing" and self.restarts >= GIVE_UP_AFTER


class StackStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What ``stack.json`` holds: the addresses of a stack and its services' state."""

    pid: int
    ready: bool
    kafka: str
    gateway: str
    gateways: tuple[str, ...] = ()
    """Base URLs of all gateway replicas; ``gateway`` is the first."""
    indexes: tuple[str, ...] = ()
    """Base URLs of the search API of all retrieval replicas, each with an index of its own."""
    observer: str = ""
    """Base URL of the observer."""
    backends: str
    embeddings: str
    kafka_is_ours: bool = True
    """Whether the stack has started the broker."""
    secure: bool = False
    """Whether the embedded Kafka has TLS, users and ACLs."""
    services: tuple[ServiceStatus, ...] = ()


class StateDir:
    """Paths below ``.penstock`` and the lock that says whether a stack runs.

    The supervisor holds an exclusive flock on ``supervisor.pid`` for its whole life. The kernel drops the
    lock when the process ends in whatever way, so a file left by kill -9 or by a reboot never counts, even
    if its pid belongs to somebody else by now.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.pid_file = folder / "supervisor.pid"
        self.stack_file = folder / "stack.json"
        self.api_key = folder / "api-key"
        self.observer_key = folder / "observer-key"
        self.scale_requests = folder / "scale-requests"
        self.security = folder / "kafka-security"

    def log_file(self, name: str) -> Path:
        """The log of one service, or of the ``supervisor``."""
        return self.logs / f"{name}.log"

    @contextmanager
    def supervising(self) -> Iterator[None]:
        """Holds the lock; DevstackError if a stack already runs with this folder."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with self.pid_file.open("a+", encoding="ascii") as file:
            self._lock(file)
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            try:
                yield
            finally:
                self.stack_file.unlink(missing_ok=True)
                file.truncate(0)

    def _lock(self, file: TextIO) -> None:
        """Take the lock. Who only looks whether a stack runs holds it, too, for a moment."""
        deadline = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pid = self.supervisor_pid()
                if pid is not None or time.monotonic() > deadline:
                    raise DevstackError(
                        f"A stack already runs here (pid {pid or 'unknown'}):"
                        " see `penstock status`, stop it with `penstock down`"
                    ) from None
                time.sleep(0.01)
            else:
                return

    def supervisor_pid(self) -> int | None:
        """The pid of the supervisor that holds the lock, or None if no stack runs."""
        try:
            file = self.pid_file.open("r", encoding="ascii")
        except OSError:
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                text = file.read().strip()
                return int(text) if text.isdigit() else None
            return None

    def write(self, status: StackStatus) -> None:
        """Replaces ``stack.json`` in one step: a reader never sees half of it."""
        partial = self.stack_file.with_suffix(".partial")
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(status), indent=2))
        partial.replace(self.stack_file)

    def read(self) -> StackStatus | None:
        """The running stack's status, or None if none runs or it has not written any yet."""
        pid = self.supervisor_pid()
        if pid is None:
            return None
        try:
            status = msgspec.json.decode(self.stack_file.read_bytes(), type=StackStatus)
        except (OSError, msgspec.DecodeError):
            return None
        return status if status.pid == pid else None

    def fresh_log(self, name: str) -> Path:
        """The path for a service's log in this run; the last run's log moves to ``<name>.log.1``."""
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.log_file(name)
        if path.exists():
            path.replace(path.with_suffix(".log.1"))
        path.touch(mode=0o600)
        return path

    def rotate_logs(self, limit: int = LOG_BYTES) -> None:
        """Move what logs above so many bytes hold to ``<name>.log.1``, in place of what is there.

        Processes go on writing to the same open file, at its end; a line of that moment may be lost.
        """
        for path in self.logs.glob("*.log"):
            if path.stat().st_size > limit:
                shutil.copyfile(path, path.with_suffix(".log.1"))
                os.truncate(path, 0)


def last_line(log_file: Path) -> str:
    """The last line of a log that is not blank, cut at 300 characters, or that there is none."""
    try:
        with log_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return _SILENT
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), _SILENT)

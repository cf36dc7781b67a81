"""What a child that parses may do: set before it reads the first byte of a file."""

import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_STATM = Path("/proc/self/statm")

_REFUSED = (
    "socket.",
    "subprocess.",
    "ctypes.dlopen",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.link",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "os.spawn",
    "os.startfile",
    "os.symlink",
    "os.system",
    "pty.",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Limits:
    """Of one child: bytes of memory above what the empty process has, seconds of CPU and of wall clock."""

    memory: int = 1 << 30
    cpu_s: int = 60
    wall_s: float = 90
    open_files: int = 32


@dataclass(frozen=True)
class Isolation:
    """What the system offers beyond POSIX; Linux has all of it."""

    death_signal: bool = True
    namespaces: bool = True
    address_space: bool = True

    def missing(self) -> tuple[str, ...]:
        """Return the protections that a parser runs without here."""
        offered = {
            "end with its parent (prctl)": self.death_signal,
            "network namespace (unshare)": self.namespaces,
            "memory limit (/proc)": self.address_space,
        }
        return tuple(name for name, there in offered.items() if not there)


def available_isolation() -> Isolation:
    """Return what this system offers."""
    libc = ctypes.CDLL(None)
    return Isolation(hasattr(libc, "prctl"), hasattr(libc, "unshare"), _STATM.exists())


def confine(limits: Limits, isolation: Isolation) -> None:
    """Take from this process, for good, what a parser does not need.

    What `isolation` lacks is left out.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if isolation.death_signal:
        libc.prctl(
            _PR_SET_PDEATHSIG, signal.SIGKILL
        )  # it does not outlive the fork server, nor that its owner
    if isolation.namespaces:
        # An empty network, where the kernel lets everyone make one; elsewhere the hook below has to do.
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    _silence()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    _limit(resource.RLIMIT_CPU, limits.cpu_s, grace=1)  # first SIGXCPU, which says why
    if isolation.address_space:
        _limit(resource.RLIMIT_AS, _address_space() + limits.memory)
    sys.addaudithook(_refuse)


def _limit(what: int, value: int, grace: int = 0) -> None:
    _, hard = resource.getrlimit(what)
    most = value + grace if hard == resource.RLIM_INFINITY else min(value + grace, hard)
    resource.setrlimit(what, (min(value, most), most))


def _address_space() -> int:
    """Bytes of address space that this process has (proc(5), statm)."""
    pages = int(_STATM.read_text().split()[0])
    return pages * resource.getpagesize()


def _silence() -> None:
    """What libraries print may hold text of the document."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    """Audit hook (PEP 578): for Python code what the kernel's limits leave open."""
    writes = event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & _WRITING)
    if writes or event.startswith(_REFUSED):
        raise PermissionError(f"A parser may not do this: {event}")

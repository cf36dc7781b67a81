"""What the processes of a run cost: processor time and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psutil

from e2e.bench.errors import BenchError

CLIENT = "load client"
STUB = "stub"
PASS_THROUGH = "pass-through"  # noqa: S105  # a name
OUTSIDE = (CLIENT, STUB, PASS_THROUGH)
"""What is no part of Penstock."""
_JVM = "kafka"
MIB = 1 << 20


@dataclass(frozen=True)
class Memory:
    """Bytes of one process; `kind` says how shared pages count.

    pss: each shared page divided by those who share it, so that the processes can be added up; uss: not at
    all (where the kernel gives no pss); rss: in full (the JVM, which shares next to nothing).
    """

    size: int
    kind: str


class Processes:
    """The processes to watch, by name, each with its children of now; this one is the load client.

    A child that is watched under a name of its own (as all are of the supervisor) counts there.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        watched = set(pids.values())
        self._families = {name: list(_family(psutil.Process(pid), watched)) for name, pid in pids.items()}
        self._families[CLIENT] = [psutil.Process(os.getpid())]

    def cpu_ms(self) -> dict[str, float]:
        """Processor time of each since its start, user and system, in milliseconds."""
        try:
            return {name: sum(map(_cpu_ms, family)) for name, family in self._families.items()}
        except psutil.NoSuchProcess as gone:
            raise BenchError(f"A process ended during the run: {gone}") from gone

    def memory(self) -> dict[str, Memory]:
        """Memory of each now, but for what is no part of Penstock."""
        try:
            return {
                name: _memory(name, family) for name, family in self._families.items() if name not in OUTSIDE
            }
        except psutil.Error as error:
            raise BenchError(f"The memory of a process cannot be read: {error}") from error


def _family(process: psutil.Process, watched: set[int]) -> Iterator[psutil.Process]:
    yield process
    for child in process.children():
        if child.pid not in watched:
            yield from _family(child, watched)


def _cpu_ms(process: psutil.Process) -> float:
    times = process.cpu_times()
    return 1000 * (times.user + times.system)


def _memory(name: str, family: list[psutil.Process]) -> Memory:
    if name == _JVM:
        return Memory(sum(process.memory_info().rss for process in family), "rss")
    full = [process.memory_full_info() for process in family]
    pss = sum(getattr(one, "pss", 0) for one in full)
    return Memory(pss, "pss") if pss else Memory(sum(one.uss for one in full), "uss")

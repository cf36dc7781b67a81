"""What the processes of a run cost: processor time and memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from e2e.bench.errors import BenchError

CLIENT = "load client"
STUB = "stub"
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
    """The processes to watch, by name; the benchmark itself is the load client."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._processes[CLIENT] = psutil.Process(os.getpid())

    def cpu_ms(self) -> dict[str, float]:
        """Processor time of each process since its start, user and system, in milliseconds."""
        try:
            times = {name: process.cpu_times() for name, process in self._processes.items()}
        except psutil.NoSuchProcess as gone:
            raise BenchError(f"A process ended during the run: {gone}") from gone
        return {name: 1000 * (time.user + time.system) for name, time in times.items()}

    def memory(self) -> dict[str, Memory]:
        """Memory of each process now, but for the load client."""
        try:
            return {
                name: _memory(name, process) for name, process in self._processes.items() if name != CLIENT
            }
        except psutil.Error as error:
            raise BenchError(f"The memory of a process cannot be read: {error}") from error


def _memory(name: str, process: psutil.Process) -> Memory:
    if name == _JVM:
        return Memory(process.memory_info().rss, "rss")
    full = process.memory_full_info()
    pss = getattr(full, "pss", 0)
    return Memory(pss, "pss") if pss else Memory(full.uss, "uss")

"""What a process takes of its machine, by OpenTelemetry's names."""

import time
from collections.abc import Iterable

import psutil

from penstock.telemetry import metrics, names
from penstock.telemetry.meters import Attributes, watch


def watch_process() -> None:
    """Tell CPU time, memory, threads, files and age of this process."""
    process = psutil.Process()

    def cpu() -> Iterable[tuple[float, Attributes]]:
        used = process.cpu_times()
        return (used.user, {names.CPU_MODE: "user"}), (used.system, {names.CPU_MODE: "system"})

    watch(metrics.CPU_TIME, cpu)
    watch(metrics.MEMORY, lambda: [(process.memory_info().rss, {})])
    watch(metrics.THREADS, lambda: [(process.num_threads(), {})])
    watch(metrics.FILES, lambda: [(process.num_fds(), {})])
    watch(metrics.UPTIME, lambda: [(time.time() - process.create_time(), {})])

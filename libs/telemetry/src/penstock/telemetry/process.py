"""What a process takes of its machine, by OpenTelemetry's names."""

import time
from collections.abc import Iterable

import psutil

from penstock.telemetry import metric_catalog, names
from penstock.telemetry.instruments import Attributes, watch


def watch_process() -> None:
    """Tell CPU time, memory, threads, files and age of this process."""
    process = psutil.Process()

    def cpu() -> Iterable[tuple[float, Attributes]]:
        used = process.cpu_times()
        return (used.user, {names.CPU_MODE: "user"}), (used.system, {names.CPU_MODE: "system"})

    watch(metric_catalog.CPU_TIME, cpu)
    watch(metric_catalog.MEMORY, lambda: [(process.memory_info().rss, {})])
    watch(metric_catalog.THREADS, lambda: [(process.num_threads(), {})])
    watch(metric_catalog.FILES, lambda: [(process.num_fds(), {})])
    watch(metric_catalog.UPTIME, lambda: [(time.time() - process.create_time(), {})])

"""Faults of the broker: killed, stopped, its disk full."""

from __future__ import annotations

import asyncio
import resource
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from e2e.faults.inject.injector import Fault, Injector, pause
from e2e.faults.inject.processes import send
from e2e.faults.stand import StandError

_DISK_MIB = 512


def broker_ends(number: signal.Signals, every_s: float) -> Fault:
    """The broker gets a signal (SIGKILL, SIGTERM); the supervisor starts it again."""

    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        while await pause(stop, every_s):
            if send(injector, "kafka", number):
                injector.note(f"broker {number.name}", "kafka")

    return inject


def mount_small_disk(folder: Path) -> bool:
    """Put a small disk at `folder`; False where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = shutil.which("mount")
    if mount is None:
        return False
    command = [mount, "-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "none", str(folder)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0  # noqa: S603  # ours


def unmount_small_disk(folder: Path) -> None:
    """Take it away again."""
    unmount = shutil.which("umount")
    if unmount is not None and folder.is_mount():
        subprocess.run([unmount, "--lazy", str(folder)], check=False)  # noqa: S603  # ours


def full_disks(seconds: float, every_s: float) -> Fault:
    """The broker's disk is full for a while: filled to the last byte where it is a disk of its own.

    Where none could be mounted, the broker's process may not let any file grow (RLIMIT_FSIZE), which it
    takes for an I/O error of its disk, too.
    """

    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        while await pause(stop, every_s):
            full = injector.note(f"disk full {seconds:g} s", "kafka")
            if injector.stand.data.is_mount():
                await _fill(injector.stand.data / "filler", seconds)
            else:
                await _limit(injector, seconds)
            full.until = time.time()

    return inject


async def _fill(filler: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:  # what the broker frees meanwhile is taken as well
            await asyncio.to_thread(_fill_now, filler)
            await asyncio.sleep(0.05)
    finally:
        await asyncio.to_thread(filler.unlink)


def _fill_now(filler: Path) -> None:
    for size in (1 << 20, 1 << 12):
        with suppress(OSError), filler.open("ab", buffering=0) as file:
            while file.write(b"\0" * size) == size:
                pass


async def _limit(injector: Injector, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:  # also the process that the supervisor starts meanwhile
        with suppress(ProcessLookupError, StandError):
            pid = injector.stand.pid("kafka")
            if pid is not None:
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        await asyncio.sleep(0.1)
    pid = injector.stand.pid("kafka")
    if pid is not None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

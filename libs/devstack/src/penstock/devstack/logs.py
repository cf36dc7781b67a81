"""Prints the services' logs, and follows them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TextIO

from penstock.devstack.errors import DevstackError

_POLL_S = 0.2
_BLOCK = 1 << 20


class _Log:
    """One file, read on from where it was left; starts over when the file is replaced or shortened."""

    def __init__(self, path: Path, prefix: str) -> None:
        self._path = path
        self._prefix = prefix
        self._offset = 0
        self._inode = 0
        self._rest = b""

    def write_new(self, out: TextIO) -> None:
        """Writes the whole lines that were added since the last call."""
        try:
            with self._path.open("rb") as file:
                self._rewind_if_replaced(file.fileno())
                file.seek(self._offset)
                while block := file.read(_BLOCK):
                    self._offset += len(block)
                    *lines, self._rest = (self._rest + block).split(b"\n")
                    for line in lines:
                        out.write(f"{self._prefix}{line.decode(errors='replace')}\n")
        except FileNotFoundError:
            return

    def _rewind_if_replaced(self, descriptor: int) -> None:
        now = os.fstat(descriptor)
        if now.st_ino != self._inode or now.st_size < self._offset:
            self._inode, self._offset, self._rest = now.st_ino, 0, b""


def print_logs(folder: Path, service: str, out: TextIO, *, follow: bool) -> None:
    """Writes one service's log, or all of them with the service's name before each line.

    DevstackError if there is no such log. With ``follow`` it returns only by KeyboardInterrupt.
    """
    names = sorted(path.stem for path in folder.glob("*.log"))
    if service and service not in names:
        known = ", ".join(names) or "none yet"
        raise DevstackError(f"No log of {service!r} in {folder} (there are: {known})")
    chosen = [service] if service else names
    width = max((len(name) for name in chosen), default=0)
    logs = [_Log(folder / f"{name}.log", "" if service else f"{name:<{width}} | ") for name in chosen]
    while True:
        for log in logs:
            log.write_new(out)
        out.flush()
        if not follow:
            return
        time.sleep(_POLL_S)

"""Where this process keeps its indexes: directories beside one another (port: Home).

`current` names the one that counts. It is replaced in one step, so a crash leaves the index before or the
new one, whole; what is not current is removed at the next start. An index of an earlier layout is not
current either: it is made anew from the log.
"""

import asyncio
import fcntl
import os
import shutil
from pathlib import Path
from secrets import token_hex

from penstock.retrieval.adapters.edge import EdgePoints, open_points
from penstock.retrieval.adapters.qdrant import LAYOUT, QdrantIndex
from penstock.retrieval.ports import IndexUnusable, Opened

_LOCK = "lock"
_CURRENT = "current"


class EdgeHome:
    """Indexes below `directory`, for vectors of `vector_size` numbers; one process at a time may use it."""

    def __init__(self, directory: Path, vector_size: int) -> None:
        self._directory = directory
        self._vector_size = vector_size
        self._lock: int | None = None
        self._open: dict[str, EdgePoints] = {}

    async def open(self) -> Opened:
        self._take()
        name = self._current()
        if name.startswith(f"{LAYOUT}-") and (self._directory / name).exists():
            opened = self._opened(name)
        else:
            opened = await self.begin()
            await self.adopt(opened)
        await self._sweep(opened.id)
        return opened

    async def begin(self) -> Opened:
        return self._opened(f"{LAYOUT}-{token_hex(4)}")

    async def adopt(self, opened: Opened) -> None:
        new = self._directory / f"{_CURRENT}.new"
        with new.open("w", encoding="ascii") as file:
            file.write(opened.id)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._directory / _CURRENT)

    async def discard(self, opened: Opened) -> None:
        await self._open.pop(opened.id).close()
        await asyncio.to_thread(shutil.rmtree, self._directory / opened.id)

    async def close(self) -> None:
        for points in self._open.values():
            await points.close()
        self._open.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take(self) -> None:
        if self._lock is not None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise IndexUnusable(f"another process uses {self._directory}") from error
        self._lock = lock

    def _current(self) -> str:
        file = self._directory / _CURRENT
        return file.read_text(encoding="ascii").strip() if file.exists() else ""

    def _opened(self, name: str) -> Opened:
        points = open_points(self._directory / name, self._vector_size)
        self._open[name] = points
        return Opened(name, QdrantIndex(points))

    async def _sweep(self, current: str) -> None:
        """Remove what is left of other indexes, and of the time when there was but one, without a name."""
        self._directory.with_name(f"{self._directory.name}.id").unlink(missing_ok=True)
        for path in self._directory.iterdir():
            if path.name in (_LOCK, _CURRENT, current):
                continue
            if path.is_dir():
                await asyncio.to_thread(shutil.rmtree, path)
            else:
                path.unlink()

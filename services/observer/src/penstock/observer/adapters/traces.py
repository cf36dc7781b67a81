"""Traces in a file of this process (port: Traces). Whatever happens to the file, the process goes on."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import structlog

from penstock.observer.adapters.otlp import Undecodable, span_of
from penstock.observer.adapters.span_file import Bounds, Rows, SpanFile
from penstock.observer.domain.spans import Span, Trace
from penstock.observer.ports import Found, SpanRow

NAME = "traces.db"
WRITE_SECONDS = 0.5
_TIDY_TURNS = 20
"""So many turns without spans it is not even looked whether something is too old."""
MAX_PENDING_BYTES = 32 << 20
_OVERHEAD_BYTES = 500  # of a row that waits, beside its body
_PAUSE_SECONDS = 5.0
T = TypeVar("T")
log = structlog.get_logger()


class FileTraces:
    """Writes what has come twice a second, all in one transaction, in a thread of its own.

    A broken or full file is replaced by an empty one. If that fails, too, spans are dropped, and it tries
    again every few seconds. While another process locks the file, spans wait. `now_ms` is Unix time.
    """

    def __init__(self, folder: Path, bounds: Bounds, now_ms: Callable[[], int]) -> None:
        self._path = folder / NAME
        self._bounds = bounds
        self._now_ms = now_ms
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="traces")
        self._file: SpanFile | None = None
        self._closed_until = 0
        self._pending: list[SpanRow] = []
        self._pending_bytes = 0
        self._is_locked = False

    def add(self, rows: Sequence[SpanRow]) -> bool:
        size = sum(len(row.body) + _OVERHEAD_BYTES for row in rows)
        if self._pending_bytes + size > MAX_PENDING_BYTES:
            return False
        self._pending += rows
        self._pending_bytes += size
        return True

    async def of_request(self, request_id: str) -> Found:
        await self._write()
        found = await self._call(lambda file: file.of_request(request_id))
        if found is None:
            return Found((), ())
        return await asyncio.get_running_loop().run_in_executor(self._thread, _decoded, *found)

    async def run(self, stop: asyncio.Event) -> None:
        """Write and tidy up until `stop` is set, and then write what is left."""
        rested = 0
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), WRITE_SECONDS)
            rested = 0 if self._pending else (rested + 1) % _TIDY_TURNS
            if rested == 0:
                await self._write()
                await self._call(lambda file: file.tidy(self._now_ms()))
        await self._write()
        if self._pending:
            log.warning("spans_dropped", count=len(self._pending), reason="the trace file is locked")
        await self._call(lambda file: file.close())
        self._thread.shutdown()

    async def _write(self) -> None:
        rows, self._pending, self._pending_bytes = self._pending, [], 0
        if not rows:
            return
        for _ in range(2):  # once more if the file had to be begun anew
            if await self._call(lambda file: self._written(file, rows)):
                return
            if self._is_locked:
                self._pending = [*rows, *self._pending]
                self._pending_bytes += sum(len(row.body) + _OVERHEAD_BYTES for row in rows)
                return

    def _written(self, file: SpanFile, rows: Sequence[SpanRow]) -> bool:
        file.write(rows, self._now_ms())
        return True

    async def _call(self, work: Callable[[SpanFile], T]) -> T | None:
        """Do something with the file; None if it cannot be used."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)

    def _do(self, work: Callable[[SpanFile], T]) -> T | None:
        if self._now_ms() < self._closed_until:
            return None
        try:
            if self._file is None:
                self._file = SpanFile(self._path, self._bounds)
            done = work(self._file)
        except (sqlite3.Error, OSError) as error:
            self._note_lock(error)
            if not self._is_locked:
                self._begin_anew(error)
            return None
        self._is_locked = False
        return done

    def _note_lock(self, error: Exception) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what extends it
        locked = code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        if locked and not self._is_locked:
            log.warning("trace_file_locked", file=str(self._path), reason=str(error))
        self._is_locked = locked

    def _begin_anew(self, why: Exception) -> None:
        log.warning("trace_file_begun_anew", file=str(self._path), reason=f"{type(why).__name__}: {why}")
        if self._file is not None:
            with suppress(sqlite3.Error):
                self._file.close()
            self._file = None
        try:
            for suffix in ("", "-wal", "-shm", "-journal"):
                self._path.with_name(NAME + suffix).unlink(missing_ok=True)
            self._file = SpanFile(self._path, self._bounds)
        except (sqlite3.Error, OSError) as error:
            self._closed_until = self._now_ms() + round(_PAUSE_SECONDS * 1000)
            log.warning("traces_not_kept", file=str(self._path), reason=f"{type(error).__name__}: {error}")


def _decoded(own: Sequence[Rows], linked: Sequence[Rows]) -> Found:
    return Found(_traces(own), _traces(linked))


def _traces(rows: Sequence[Rows]) -> list[Trace]:
    return [Trace(each.trace_id.hex(), list(_spans(each.spans))) for each in rows]


def _spans(rows: Sequence[SpanRow]) -> Iterator[Span]:
    for row in rows:
        with suppress(Undecodable):  # a broken file that SQLite did not notice
            yield span_of(row)

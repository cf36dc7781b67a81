"""Sums of usage in one small file, replaced as a whole (port: Ledger)."""

import asyncio
from pathlib import Path

import msgspec
import structlog

from penstock.observer.domain.usage import Amount, Cell
from penstock.observer.ports import Kept
from penstock.streaming.ports import Partition

NAME = "usage.json"
_VERSION = 1
log = structlog.get_logger()


class _File(msgspec.Struct):
    version: int
    positions: list[tuple[str, int, int]]
    sums: list[tuple[int, str, str, str, int, int, int]]


class FileLedger:
    """A file in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    async def load(self) -> Kept | None:
        try:
            file = msgspec.json.decode(await asyncio.to_thread(self._path.read_bytes), type=_File)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("usage_summed_anew", file=str(self._path), reason=f"{type(error).__name__}: {error}")
            return None
        if file.version != _VERSION:
            return None
        return Kept(
            {Partition(topic, number): offset for topic, number, offset in file.positions},
            {Cell(*row[:4]): Amount(*row[4:]) for row in file.sums},
        )

    async def save(self, kept: Kept) -> None:
        file = _File(
            _VERSION,
            [(at.topic, at.number, offset) for at, offset in kept.positions.items()],
            [(*cell, *amount) for cell, amount in kept.cells.items()],
        )
        try:
            await asyncio.to_thread(self._write, msgspec.json.encode(file))
        except OSError as error:
            log.warning("usage_not_kept", file=str(self._path), reason=f"{type(error).__name__}: {error}")

    def _write(self, body: bytes) -> None:
        """Replace the file in one step: a reader never sees half of it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_bytes(body)
        partial.replace(self._path)

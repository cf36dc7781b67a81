"""Uploads become files."""

from collections.abc import Callable
from pathlib import Path

from penstock.ingestion.domain.model import File, file_blob
from penstock.ingestion.ports import Blobs, Files


class Uploads:
    """Keeps uploaded bytes. `new_id` gives a random hex text, `now_s` Unix seconds."""

    def __init__(
        self, files: Files, blobs: Blobs, new_id: Callable[[], str], now_s: Callable[[], int]
    ) -> None:
        self._files = files
        self._blobs = blobs
        self._new_id = new_id
        self._now_s = now_s

    async def keep(self, tenant: str, name: str, purpose: str, source: Path, size: int, digest: str) -> File:
        """Return the file that the bytes at `source` have become; `digest` is their hex SHA-256.

        Raises StorageAway, RecordsAway: then there is no file.
        """
        file = File(f"file-{self._new_id()}", tenant, name, purpose, size, digest, self._now_s())
        # Noted before its bytes are there, so that nobody removes a blob that two files share.
        await self._files.begin(file)
        await self._blobs.put(file_blob(tenant, digest), source)
        await self._files.finish(file)
        return file

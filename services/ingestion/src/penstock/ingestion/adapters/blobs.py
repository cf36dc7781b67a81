"""Blobs in a folder or a bucket, by the object_store library (port: Blobs)."""

import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from penstock.ingestion.ports import BlobMissing, StorageAway, StorageFull


class ObjectBlobs:
    """Blobs at a URL: `file:///folder`, or `s3://bucket/prefix` with the usual AWS_ variables."""

    def __init__(self, url: str) -> None:
        if url.startswith("file://"):
            self._folder: Path | None = Path(url.removeprefix("file://"))
            self._store: Any = LocalStore(self._folder, mkdir=True)
        else:
            self._folder = None
            _drop_empty_settings()
            self._store = from_url(url)

    async def put(self, name: str, source: Path | bytes) -> None:
        with _telling(name):
            await obstore.put_async(self._store, name, source)

    async def get(self, name: str) -> bytes:
        with _telling(name):
            found = await obstore.get_async(self._store, name)
            return bytes(await found.bytes_async())

    async def stream(self, name: str) -> AsyncIterator[bytes]:
        with _telling(name):
            found = await obstore.get_async(self._store, name)
            async for piece in found.stream():
                yield bytes(piece)

    @asynccontextmanager
    async def local(self, name: str) -> AsyncIterator[Path]:
        if self._folder is not None:
            path = self._folder / name
            if not path.is_file():
                raise BlobMissing(name)
            yield path
            return
        with TemporaryDirectory(prefix="penstock-") as folder:
            path = Path(folder) / "blob"
            with path.open("wb") as file:
                async for piece in self.stream(name):
                    file.write(piece)
            yield path

    async def delete(self, name: str) -> None:
        try:
            with _telling(name):
                await obstore.delete_async(self._store, name)
        except BlobMissing:
            return


def _drop_empty_settings() -> None:
    """Unset empty AWS_ variables, as empty ones count in our settings: the library itself fails on some."""
    for name in [name for name, value in os.environ.items() if name.startswith("AWS_") and not value]:
        del os.environ[name]


@contextmanager
def _telling(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise BlobMissing(name) from error
    except (OSError, BaseError) as error:
        # The library passes the system's reason on as text only.
        if getattr(error, "errno", None) == errno.ENOSPC or "StorageFull" in str(error):
            raise StorageFull("no space is left for blobs") from error
        raise StorageAway(f"blob store: {str(error).partition(chr(10))[0]}") from error

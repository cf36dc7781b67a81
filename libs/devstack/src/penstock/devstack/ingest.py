"""Brings documents into a store: uploads what is new or has changed, and waits until it can be found.

What is there already, with the same bytes, is left alone; so a run that was interrupted goes on where it was.
A changed document is indexed first, and then replaces the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from penstock.devstack.local_files import Item, Skipped
from penstock.devstack.stores import StoreFile, Stores

GROUP = 16
GROUPS_AT_ONCE = 4
UPLOADS_AT_ONCE = 4
POLL_S = 0.3


@dataclass
class Progress:
    """What has happened so far; ``changed`` is called after every difference.

    ``failures`` are (name, reason) of files that could not be read, and of documents that failed.
    """

    changed: Callable[[Progress], None] = lambda _: None
    found: int = 0
    unchanged: int = 0
    uploaded: int = 0
    indexed: int = 0
    chunks: int = 0
    pages: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ended(self) -> int:
        """How many documents have reached their end."""
        return self.unchanged + self.indexed + len(self.failures)

    def tell(self) -> None:
        """Says that something is different."""
        self.changed(self)


async def ingest(stores: Stores, items: AsyncIterator[Item | Skipped], progress: Progress) -> None:
    """Returns when every item has reached its end; DevstackError if the gateway fails."""
    known = await _known(stores)
    uploads, groups = asyncio.Semaphore(UPLOADS_AT_ONCE), asyncio.Semaphore(GROUPS_AT_ONCE)

    async def send(group: list[Item]) -> None:
        try:
            await _Group(stores, progress, known, uploads).run(group)
        finally:
            groups.release()

    try:
        async with asyncio.TaskGroup() as tasks:
            async for group in _grouped(items, known, progress):
                await groups.acquire()
                tasks.create_task(send(group))
    except* asyncio.CancelledError:
        raise
    except* Exception as errors:  # noqa: BLE001  # the first one, as it is
        raise errors.exceptions[0] from None


async def _known(stores: Stores) -> dict[str, list[StoreFile]]:
    """The store's documents by their names, the newest first."""
    known: dict[str, list[StoreFile]] = {}
    async for file in stores.files():
        known.setdefault(file.path, []).insert(0, file)
    return known


async def _grouped(
    items: AsyncIterator[Item | Skipped], known: dict[str, list[StoreFile]], progress: Progress
) -> AsyncIterator[list[Item]]:
    group: list[Item] = []
    async for item in items:
        progress.found += 1
        if isinstance(item, Skipped):
            progress.failures.append((item.name, item.reason))
        elif _is_there(item, known):
            progress.unchanged += 1
        else:
            group.append(item)
        progress.tell()
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group


def _is_there(item: Item, known: dict[str, list[StoreFile]]) -> bool:
    files = known.get(item.name, [])
    return bool(files) and files[0].sha256 == item.digest and files[0].status == "completed"


class _Group:
    """Some documents on their way together."""

    def __init__(
        self,
        stores: Stores,
        progress: Progress,
        known: dict[str, list[StoreFile]],
        uploads: asyncio.Semaphore,
    ) -> None:
        self._stores = stores
        self._progress = progress
        self._known = known
        self._uploads = uploads
        self._told: set[str] = set()

    async def run(self, items: list[Item]) -> None:
        """Uploads, attaches, waits, and removes what is replaced."""
        ids = await asyncio.gather(*(self._upload(item) for item in items))
        noted = [(file_id, {"path": item.name}) for file_id, item in zip(ids, items, strict=True)]
        batch = await self._stores.attach(noted)
        names = dict(zip(ids, (item.name for item in items), strict=True))
        while True:
            standing = set()
            async for file in self._stores.files(batch.id):
                standing.add(file.id)
                await self._look(file)
            for file_id in names.keys() - standing - self._told:
                self._told.add(file_id)
                self._progress.failures.append((names[file_id], "it was deleted meanwhile"))
            if len(self._told) == len(names):
                return
            await asyncio.sleep(POLL_S)

    async def _upload(self, item: Item) -> str:
        """Sends the bytes, unless they are there and are being worked on."""
        for file in self._known.get(item.name, [])[:1]:
            if file.sha256 == item.digest and file.status == "in_progress":
                return file.id
        async with self._uploads:
            file_id = await self._stores.upload(item.file_name, item.content)
        self._progress.uploaded += 1
        self._progress.tell()
        return file_id

    async def _look(self, file: StoreFile) -> None:
        """Takes note of a document that has reached its end."""
        if file.status == "in_progress" or file.id in self._told:
            return
        self._told.add(file.id)
        if file.status == "completed":
            self._progress.indexed += 1
            self._progress.chunks += file.chunks
            self._progress.pages += file.pages
            await self._replace(file)
        else:
            reason = file.last_error.message if file.last_error else file.status
            self._progress.failures.append((file.path, reason))
        self._progress.tell()

    async def _replace(self, file: StoreFile) -> None:
        """Removes earlier documents of the same name; a failed one never replaces one that is there."""
        for old in self._known.get(file.path, []):
            if old.id != file.id:
                await self._stores.delete(old.id)

"""What goes on beside requests and work: events are written, workers woken, and old things removed."""

from collections.abc import Callable, Sequence

import structlog

from penstock.ingestion.ports import (
    Bell,
    Blobs,
    Files,
    Garbage,
    Jobs,
    Leftovers,
    Outbox,
    Publisher,
    Stores,
)
from penstock.messages.documents import DocumentIndexed
from penstock.messages.event import Event
from penstock.streaming.stage import Caused, Received

UPLOAD_S = 3600
"""An upload that has not ended after so long never will."""
_RELAYED = 200
log = structlog.get_logger()


class Relay:
    """Writes events that were decided on to the log, in their order; one that repeats has the same id."""

    def __init__(self, outbox: Outbox, publisher: Publisher) -> None:
        self._outbox = outbox
        self._publisher = publisher

    async def once(self) -> None:
        """Write what there is."""
        while written := await self._outbox.next(_RELAYED):
            await self._publisher.send(written)
            await self._outbox.done([one.number for one in written])


class Sweeper:
    """Has the log forget what of documents no longer counts."""

    def __init__(self, leftovers: Leftovers, publisher: Publisher) -> None:
        self._leftovers = leftovers
        self._publisher = publisher

    async def once(self) -> None:
        """Take back what is due."""
        while leftovers := await self._leftovers.next(_RELAYED):
            await self._publisher.take_back(leftovers)
            await self._leftovers.taken_back(leftovers)
            log.info("parts_taken_back", count=len(leftovers))


class Waker:
    """Rings when there is work: for documents whose bell was lost, or whose worker died."""

    def __init__(self, jobs: Jobs, bell: Bell) -> None:
        self._jobs = jobs
        self._bell = bell

    async def once(self) -> None:
        """Ring if a job could be claimed."""
        if await self._jobs.waiting():
            await self._bell.ring()


class Cleaner:
    """Removes expired stores, uploads that never ended, and blobs that nothing needs."""

    def __init__(
        self, files: Files, stores: Stores, garbage: Garbage, blobs: Blobs, now_s: Callable[[], int]
    ) -> None:
        self._files = files
        self._stores = stores
        self._garbage = garbage
        self._blobs = blobs
        self._now_s = now_s

    async def once(self) -> None:
        """Look at everything once."""
        for store in await self._stores.expired():
            await self._stores.delete(store.tenant, store.id)
            log.info("store_expired", store=store.id)
        if count := await self._files.forget_abandoned(self._now_s() - UPLOAD_S):
            log.info("uploads_forgotten", count=count)
        while await self._removed():
            continue

    async def _removed(self) -> bool:
        async with self._garbage.next() as name:
            if name:
                await self._blobs.delete(name)
            return name is not None


class Acknowledged:
    """Handles documents.indexed, in batches."""

    def __init__(self, jobs: Jobs, leftovers: Leftovers) -> None:
        self._jobs = jobs
        self._leftovers = leftovers

    async def note(self, batch: Sequence[Received[Event]]) -> list[Caused]:
        """Note what is searchable, and what stands in the log in vain.

        The index says so, since it alone meets what a worker writes that has lost its lease, however late.
        It has then seen a later version or a deletion, which it never unlearns: nothing that counts is lost.
        """
        events = [
            (received.envelope.tenant, received.event)
            for received in batch
            if isinstance(received.event, DocumentIndexed)
        ]
        await self._jobs.indexed([(e.document_id, e.version, e.part) for _, e in events if e.chunks])
        await self._leftovers.forgotten([(e.document_id, e.version) for _, e in events if not e.chunks])
        await self._leftovers.late(
            [(who, e.document_id, e.version, e.part) for who, e in events if not e.chunks and not e.deleted]
        )
        return []

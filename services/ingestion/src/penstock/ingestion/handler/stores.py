"""Stores are made and filled."""

from collections.abc import Callable, Mapping, Sequence

from penstock.ingestion.domain.model import Batch, Store
from penstock.ingestion.ports import Attachment, Bell, Documents, Stores
from penstock.messages.chat import AnswersFrom


class StoreKeeper:
    """Makes stores and batches. `new_id` gives a random hex text, `now_s` Unix seconds."""

    def __init__(
        self,
        stores: Stores,
        documents: Documents,
        bell: Bell,
        new_id: Callable[[], str],
        now_s: Callable[[], int],
    ) -> None:
        self._stores = stores
        self._documents = documents
        self._bell = bell
        self._new_id = new_id
        self._now_s = now_s

    async def create(
        self,
        tenant: str,
        name: str,
        expires_after_days: int | None,
        metadata: Mapping[str, str],
        attachments: Sequence[Attachment],
        *,
        answers: AnswersFrom | None = None,
    ) -> Store:
        """Return a new store with these files in it. Raises NotFound for a file: then it stays empty."""
        now = self._now_s()
        store = Store(
            tenant, f"vs_{self._new_id()}", name, now, now, expires_after_days, metadata, answers=answers
        )
        await self._stores.create(store)
        if attachments:
            await self._documents.attach(tenant, store.id, attachments)
            await self._bell.ring()
        return await self._stores.get(tenant, store.id)

    async def attach_all(self, tenant: str, store_id: str, attachments: Sequence[Attachment]) -> Batch:
        """Put files into a store as a batch. Raises NotFound: then none is put there."""
        batch_id = f"vsfb_{self._new_id()}"
        await self._documents.attach(tenant, store_id, attachments, batch_id)
        await self._bell.ring()
        return await self._documents.batch(tenant, store_id, batch_id)

"""The store that every tenant has: made when it is first named."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.database.statements import insert_unless_there
from penstock.ingestion.adapters.tables import StoreRow
from penstock.ingestion.domain.model import Store
from penstock.messages.search import DEFAULT_STORE


async def provide_default(connection: AsyncConnection, tenant: str, store_id: str, now_s: int) -> None:
    """Make the tenant's default store if that is the one, and it is not there."""
    if store_id != DEFAULT_STORE:
        return
    row = row_of(Store(tenant, DEFAULT_STORE, "Default", now_s, now_s))
    await connection.execute(insert_unless_there(connection, StoreRow, **row))


def row_of(store: Store) -> dict[str, Any]:
    """Return a store as a row."""
    return {
        "tenant": store.tenant,
        "id": store.id,
        "name": store.name,
        "created_at": store.created_at,
        "last_active_at": store.last_active_at,
        "expires_after_days": store.expires_after_days,
        "details": dict(store.metadata),
        "answers": store.answers,
    }

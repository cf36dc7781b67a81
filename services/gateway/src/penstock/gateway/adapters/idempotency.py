"""Idempotency keys in SQL, beside the accounts (port: IdempotencyKeys)."""

import asyncio
from collections.abc import Callable, Collection
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Select, delete, select, tuple_, update

from penstock.database.database import Database
from penstock.database.statements import insert_or_replace
from penstock.gateway.adapters.tables import IdempotencyRow
from penstock.gateway.ports import AccountsAway, Claim

KEPT = timedelta(hours=24)
_ATTEMPTS = 5
_TOGETHER = 100
"""So many claims share a transaction at the most."""


class _Key(NamedTuple):
    tenant: str
    key: str


class _Batch(NamedTuple):
    """Claims that are written in one transaction, and what each of their keys stands for then."""

    claims: dict[_Key, Claim]
    held: asyncio.Task[dict[_Key, Claim]]


class SqlIdempotencyKeys:
    """Keys in the accounts database.

    Claims that come while others are being written are then written together: a transaction takes many turns
    between threads, and in a busy process each turn is long.
    """

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._now = now
        self._next: _Batch | None = None
        self._turn = asyncio.Lock()

    async def claim(self, tenant: str, key: str, mine: Claim) -> Claim:
        one = _Key(tenant, key)
        if self._next is None or len(self._next.claims) == _TOGETHER:
            claims: dict[_Key, Claim] = {}
            self._next = _Batch(claims, asyncio.create_task(self._write(claims), context=Context()))
        batch = self._next
        batch.claims.setdefault(one, mine)
        return (await asyncio.shield(batch.held))[one]

    async def _write(self, claims: dict[_Key, Claim]) -> dict[_Key, Claim]:
        async with self._turn:
            if self._next is not None and self._next.claims is claims:
                self._next = None  # who comes now is too late for it
            return await self._claim_all(claims)

    async def _claim_all(self, claims: dict[_Key, Claim]) -> dict[_Key, Claim]:
        held: dict[_Key, Claim] = {}
        for _ in range(_ATTEMPTS):
            # In one order at all gateways, so that none waits for another that waits for it.
            left = {key: claims[key] for key in sorted(claims) if key not in held}
            now = self._now()
            rows = [{**key._asdict(), **mine._asdict(), "created_at": now} for key, mine in left.items()]
            async with self._database.writing() as connection:
                # One statement for new keys, which are the usual ones, and for those that are forgotten.
                forgotten = IdempotencyRow.created_at < now - KEPT
                written = await connection.execute(
                    insert_or_replace(connection, IdempotencyRow, forgotten, rows)
                )
                mine = {_Key(*key) for key in written}
                held |= {key: left[key] for key in mine}
                # PostgreSQL has waited for the other's commit, and each statement sees what is committed.
                # One that is not found was released between the two.
                if taken := left.keys() - mine:
                    held |= {
                        _Key(*row[:2]): Claim(*row[2:]) for row in await connection.execute(_find(taken))
                    }
            if len(held) == len(claims):
                return held
        raise AccountsAway("accounts database: an idempotency key comes and goes")

    async def replace(self, tenant: str, key: str, old_id: str, new_id: str) -> bool:
        row = IdempotencyRow
        change = (
            update(row)
            .where(row.tenant == tenant, row.key == key, row.request_id == old_id)
            .values(request_id=new_id, created_at=self._now())
        )
        async with self._database.writing() as connection:
            return (await connection.execute(change)).rowcount > 0

    async def release(self, tenant: str, key: str, request_id: str) -> None:
        row = IdempotencyRow
        gone = delete(row).where(row.tenant == tenant, row.key == key, row.request_id == request_id)
        async with self._database.writing() as connection:
            await connection.execute(gone)

    async def forget_old(self) -> int:
        gone = delete(IdempotencyRow).where(IdempotencyRow.created_at < self._now() - KEPT)
        async with self._database.writing() as connection:
            return (await connection.execute(gone)).rowcount


def _find(keys: Collection[_Key]) -> Select[str, str, str, str]:
    row = IdempotencyRow
    found = select(row.tenant, row.key, row.request_id, row.fingerprint)
    return found.where(tuple_(row.tenant, row.key).in_(keys))

"""Who may call: API keys, and the first key of all."""

import asyncio
from collections.abc import Callable
from enum import Enum

import structlog

from penstock.gateway.callers import Callers
from penstock.gateway.domain import keys
from penstock.gateway.domain.caller import Caller
from penstock.gateway.ports import Accounts, AccountsAway, KeyStore, UnusableKey
from penstock.telemetry.readiness import Readiness

DEFAULT_TENANT = "default"
log = structlog.get_logger(__name__)


class Access:
    """Finds the caller of a key; a revoked one may still work for `ttl_s` seconds."""

    def __init__(
        self, accounts: Accounts, now: Callable[[], float], ttl_s: float = 10, size: int = 4096
    ) -> None:
        self._callers = Callers(accounts.caller_of, now, ttl_s, size)

    async def caller_of(self, key: str) -> Caller | None:
        """Return whose key this is, None if nobody's. Raises AccountsAway."""
        return await self._callers.find(keys.digest_of(key)) if keys.looks_like_key(key) else None


class FirstKey(Enum):
    """What became of the key that every installation starts with."""

    MADE = "made"
    REGISTERED = "registered"
    KNOWN = "known"


async def provide_first_key(accounts: Accounts, store: KeyStore) -> tuple[FirstKey, str]:
    """See to it that the store holds a key and that the accounts know it, as an operator's; return it.

    A store that lost its key gets a new one; a database that is new takes the store's. A key that was
    revoked stays so: delete it from the store to get another. Raises AccountsAway, UnusableKey.
    """
    kept = store.read()
    if kept is not None:
        record = keys.record_of(kept)
        if await accounts.is_registered(record.digest):
            return FirstKey.KNOWN, kept
        await accounts.register(DEFAULT_TENANT, record, operator=True)
        return FirstKey.REGISTERED, kept
    made = keys.new_key()
    kept = store.keep(made)
    await accounts.register(DEFAULT_TENANT, keys.record_of(kept), operator=True)
    return (FirstKey.MADE if kept == made else FirstKey.REGISTERED), kept


async def prepare(
    accounts: Accounts,
    store: KeyStore,
    readiness: Readiness,
    announce: Callable[[str], None],
    retry_s: float = 1.0,
) -> None:
    """Open the accounts and provide the first key, however long that takes; `announce` is told a new key."""
    said = ""
    while True:
        try:
            await accounts.open()
            outcome, key = await provide_first_key(accounts, store)
        except (AccountsAway, UnusableKey) as error:
            if str(error) != said:
                said = str(error)
                log.warning("accounts_not_ready", reason=said)
            readiness.waiting("accounts", said)
            await asyncio.sleep(retry_s)
            continue
        log.info("accounts_ready", first_key=outcome.value)
        if outcome is FirstKey.MADE:
            announce(key)
        readiness.ready("accounts")
        return

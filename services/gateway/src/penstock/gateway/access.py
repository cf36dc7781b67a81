"""Who may call: API keys, looked up once and remembered for a short time, and the first key of all."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

import structlog

from penstock.gateway.domain import keys
from penstock.gateway.ports import Accounts, AccountsAway, KeyStore, UnusableKey
from penstock.telemetry.readiness import Readiness

DEFAULT_TENANT = "default"
T = TypeVar("T")
log = structlog.get_logger(__name__)


class Access:
    """Finds the tenant of a key.

    An answer, "nobody" as well, is remembered for `ttl_s` seconds: so long may a revoked key still work.
    At most `size` of each are remembered; wrong keys have a list of their own, so that guessing evicts none.
    """

    def __init__(
        self, accounts: Accounts, now: Callable[[], float], ttl_s: float = 10, size: int = 4096
    ) -> None:
        self._accounts = accounts
        self._now = now
        self._ttl_s = ttl_s
        self._size = size
        self._tenants: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._nobody: OrderedDict[str, tuple[float, None]] = OrderedDict()

    async def tenant_of(self, key: str) -> str | None:
        """Return whose key this is, None if nobody's. Raises AccountsAway."""
        if not keys.looks_like_key(key):
            return None
        digest = keys.digest_of(key)
        now = self._now()
        known = self._tenants.get(digest) or self._nobody.get(digest)
        if known is not None and known[0] > now:
            return known[1]
        tenant = await self._accounts.tenant_of(digest)
        if tenant is None:
            self._tenants.pop(digest, None)
            _remember(self._nobody, digest, (now + self._ttl_s, None), self._size)
        else:
            self._nobody.pop(digest, None)
            _remember(self._tenants, digest, (now + self._ttl_s, tenant), self._size)
        return tenant


class FirstKey(Enum):
    """What became of the key that every installation starts with."""

    MADE = "made"
    REGISTERED = "registered"
    KNOWN = "known"


async def provide_first_key(accounts: Accounts, store: KeyStore) -> tuple[FirstKey, str]:
    """See to it that the store holds a key and that the accounts know it; return it.

    A store that lost its key gets a new one; a database that is new takes the store's. A key that was
    revoked stays so: delete it from the store to get another. Raises AccountsAway, UnusableKey.
    """
    kept = store.read()
    if kept is not None:
        record = keys.record_of(kept)
        if await accounts.is_registered(record.digest):
            return FirstKey.KNOWN, kept
        await accounts.register(DEFAULT_TENANT, record)
        return FirstKey.REGISTERED, kept
    made = keys.new_key()
    kept = store.keep(made)
    await accounts.register(DEFAULT_TENANT, keys.record_of(kept))
    return (FirstKey.MADE if kept == made else FirstKey.REGISTERED), kept


async def prepare(
    accounts: Accounts,
    store: KeyStore,
    readiness: Readiness,
    announce: Callable[[str], None],
    retry_s: float = 1.0,
) -> None:
    """Open the accounts and provide the first key, however long that takes; `announce` is told a new key."""
    while True:
        try:
            await accounts.open()
            outcome, key = await provide_first_key(accounts, store)
        except (AccountsAway, UnusableKey) as error:
            log.warning("accounts_not_ready", reason=str(error))
            readiness.waiting("accounts", str(error))
            await asyncio.sleep(retry_s)
            continue
        log.info("accounts_ready", first_key=outcome.value)
        if outcome is FirstKey.MADE:
            announce(key)
        readiness.ready("accounts")
        return


def _remember(
    cache: "OrderedDict[str, tuple[float, T]]", digest: str, entry: "tuple[float, T]", size: int
) -> None:
    cache[digest] = entry
    cache.move_to_end(digest)
    while len(cache) > size:
        cache.popitem(last=False)

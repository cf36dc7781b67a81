"""What the gateway needs of the world."""

from typing import NamedTuple, Protocol

from penstock.gateway.domain.caller import Caller
from penstock.gateway.domain.keys import KeyRecord
from penstock.streaming.ports import Producer, Reader


class AccountsAway(Exception):
    """The accounts database did not answer; the message says what was tried, without any key."""


class Accounts(Protocol):
    """Tenants and their API keys."""

    async def open(self) -> None:
        """Connect, and see that the tables can be used. Raises AccountsAway while they cannot."""

    async def caller_of(self, digest: str) -> Caller | None:
        """Return whose key this is, if it is registered and not revoked. Raises AccountsAway."""

    async def is_registered(self, digest: str) -> bool:
        """Return whether a key was ever registered, revoked or not. Raises AccountsAway."""

    async def register(self, tenant: str, key: KeyRecord, *, operator: bool = False) -> None:
        """Add a key, and its tenant if new; a key that is there stays as it is. Raises AccountsAway."""

    async def revoke(self, digest: str) -> bool:
        """Make a key useless from now on; False if it was not valid. Raises AccountsAway."""

    async def close(self) -> None:
        """Give connections back."""


class SessionStore(Protocol):
    """Sessions of the console, each of one key, by their tokens' digests. All raise AccountsAway."""

    async def add(self, key_digest: str, digest: str) -> bool:
        """Add a session of a key; False if the key is not registered, or revoked."""

    async def caller_of(self, digest: str) -> Caller | None:
        """Return whose session this is, if it has not expired and its key is not revoked."""

    async def remove(self, digest: str) -> None:
        """Forget a session, if it is there."""

    async def forget_old(self) -> int:
        """Forget sessions that have expired; return how many there were."""


class Claim(NamedTuple):
    """What an idempotency key stands for: the request that came first, by the fingerprint of its body."""

    request_id: str
    fingerprint: str


class IdempotencyKeys(Protocol):
    """Which request a tenant's key stands for. Keys are forgotten after a day. All raise AccountsAway."""

    async def claim(self, tenant: str, key: str, mine: Claim) -> Claim:
        """Let the key stand for `mine`, unless it stands for another one; return what it stands for."""

    async def replace(self, tenant: str, key: str, old_id: str, new_id: str) -> bool:
        """Let the key stand for `new_id` if it still stands for `old_id`, and return whether it did."""

    async def release(self, tenant: str, key: str, request_id: str) -> None:
        """Forget the key if it stands for this request."""

    async def forget_old(self) -> int:
        """Forget keys older than a day; return how many there were."""


class KeyStore(Protocol):
    """The place where the first key is kept for the people of this machine."""

    def read(self) -> str | None:
        """Return the key that is kept, or None. Raises UnusableKey."""

    def keep(self, key: str) -> str:
        """Keep `key`, unless another process was first, and return the key that is kept."""


class UnusableKey(Exception):
    """What stands where the key should be is not a key; the message names the place."""


class Backend(Protocol):
    """One model server."""

    @property
    def name(self) -> str:
        """Where it is, for people."""

    async def models(self) -> list[str]:
        """Return the names of the models it serves. Raises BackendAway."""


class BackendAway(Exception):
    """A backend did not say what it serves; the message says what was tried."""


class Log(Protocol):
    """The broker, before it is connected to. All but `name` raise BrokerError."""

    @property
    def name(self) -> str:
        """Where it is, for people."""

    async def missing_topics(self) -> list[str]:
        """Return the topics that do not stand yet."""

    async def open_producer(self) -> Producer:
        """Connect a producer."""

    async def open_reader(self) -> Reader:
        """Connect a reader, of no partition yet."""

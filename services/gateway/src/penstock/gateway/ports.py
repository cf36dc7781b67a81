"""What the gateway needs of the world."""

from typing import Protocol

from penstock.gateway.domain.keys import KeyRecord
from penstock.streaming.ports import Producer, Reader


class AccountsAway(Exception):
    """The accounts database did not answer; the message says what was tried, without any key."""


class Accounts(Protocol):
    """Tenants and their API keys."""

    async def open(self) -> None:
        """Connect, and bring the tables to this version. Raises AccountsAway."""

    async def tenant_of(self, digest: str) -> str | None:
        """Return the tenant of a key that is registered and not revoked. Raises AccountsAway."""

    async def is_registered(self, digest: str) -> bool:
        """Return whether a key was ever registered, revoked or not. Raises AccountsAway."""

    async def register(self, tenant: str, key: KeyRecord) -> None:
        """Add a key, and its tenant if new; a key that is there stays as it is. Raises AccountsAway."""

    async def revoke(self, digest: str) -> bool:
        """Make a key useless from now on; False if it was not valid. Raises AccountsAway."""

    async def close(self) -> None:
        """Give connections back."""


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

    async def open_reader(self, partition: int) -> Reader:
        """Read this partition of chat.responses from its end, which is fixed on return."""

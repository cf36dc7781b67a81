"""Sessions of the console: a browser shows its key once, and then a cookie that no script can read."""

from collections.abc import Callable

from penstock.gateway.attempts import Attempts
from penstock.gateway.callers import Callers
from penstock.gateway.domain import keys
from penstock.gateway.domain.caller import Caller
from penstock.gateway.ports import AccountsAway, SessionStore


class Sessions:
    """Opens, finds and closes sessions.

    One that was closed elsewhere, has expired or lost its key may work for `ttl_s` seconds more, as a revoked
    key does. `now` gives seconds of a clock that only goes forward.
    """

    def __init__(
        self, store: SessionStore, now: Callable[[], float], ttl_s: float = 10, size: int = 4096
    ) -> None:
        self._store = store
        self._attempts = Attempts(now)
        self._callers = Callers(store.caller_of, now, ttl_s, size)

    async def open(self, key: str, address: str) -> str | None:
        """Return the token of a new session, None for a wrong key. `address` is the client's.

        Raises ApiError 429 after too many wrong keys, AccountsAway.
        """
        self._attempts.begin(address)
        if not keys.looks_like_key(key):
            return None
        token = keys.new_token()
        try:
            opened = await self._store.add(keys.digest_of(key), keys.digest_of(token))
        except AccountsAway:
            self._attempts.forgive(address)
            raise
        if not opened:
            return None
        self._attempts.forgive(address)
        return token

    async def caller_of(self, token: str) -> Caller | None:
        """Return whose session this is, None if nobody's. Raises AccountsAway."""
        return await self._callers.find(keys.digest_of(token)) if keys.looks_like_token(token) else None

    async def close(self, token: str) -> None:
        """End a session, if it is one. Raises AccountsAway."""
        if keys.looks_like_token(token):
            digest = keys.digest_of(token)
            await self._store.remove(digest)
            self._callers.forget(digest)

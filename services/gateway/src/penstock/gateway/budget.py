"""How much of something may be there at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from penstock.gateway.domain import errors


class Budget:
    """Counts something of which there may only be so much at once."""

    def __init__(self, limit: int, message: str) -> None:
        self._limit = limit
        self._message = message
        self.used = 0

    @contextmanager
    def taken(self, amount: int = 1) -> Iterator[None]:
        """Hold an amount while the block runs. Raises ApiError 429 if there is not so much left."""
        if self.used + amount > self._limit:
            raise errors.too_many(self._message)
        self.used += amount
        try:
            yield
        finally:
            self.used -= amount

"""Values that are made once, also when several tasks ask for them at the same time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Once(Generic[Key, Value]):
    """Keeps what ``make`` returned for each key. What it raises goes to its caller, and is not kept."""

    def __init__(self, make: Callable[[Key], Awaitable[Value]]) -> None:
        self._make = make
        self._values: dict[Key, Value] = {}
        self._locks: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, key: Key) -> Value:
        """The key's value; the first caller waits for it to be made, and the others wait for the first."""
        async with self._locks[key]:
            if key not in self._values:
                self._values[key] = await self._make(key)
            return self._values[key]

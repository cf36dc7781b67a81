"""A host's addresses: resolved once, checked, and never asked for again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address

from penstock.devstack.crawl.errors import FetchFailed, FetchRefused
from penstock.devstack.crawl.guard import Address, Network, Target, may_connect
from penstock.devstack.crawl.once import Once

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""The addresses of a host name and a port, in the order in which to try them; OSError if there are none."""


async def resolve(host: str, port: int) -> list[Address]:
    """Asks the system's resolver, in a thread."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(place[0]) for _, _, _, _, place in found]


class Addresses:
    """The addresses that may be connected to. A later answer of the resolver changes nothing.

    If one address of a name is forbidden, all of the name is refused, and not only that address: a name that
    has public and private addresses at once is a mistake or an attack, and a connection that then depends
    on which of them answers is worth nothing.
    """

    def __init__(self, allowed: Sequence[Network], resolve: Resolve) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve
        self._resolved: Once[tuple[str, int], tuple[Address, ...]] = Once(self._look_up)

    async def of(self, target: Target) -> tuple[Address, ...]:
        """At least one; FetchRefused if any is forbidden, FetchFailed if the name is unknown."""
        literal = target.address
        addresses = (literal,) if literal else await self._resolved.get((target.host, target.port))
        for address in addresses:
            if not may_connect(address, self._allowed):
                what = f"{address}" if literal else f"{target.host} is {address}, which"
                raise FetchRefused(f"{what} is not a public address")
        return addresses

    async def _look_up(self, key: tuple[str, int]) -> tuple[Address, ...]:
        host, port = key
        try:
            addresses = tuple(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError) as error:
            raise FetchFailed(f"the name {host} cannot be resolved") from error
        if not addresses:
            raise FetchFailed(f"the name {host} has no address")
        return addresses

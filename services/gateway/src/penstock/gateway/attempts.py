"""How often a client may be wrong about its key.

Written here since the libraries that count (`limits` and those upon it) keep every client that they have seen
in a window: their memory is bounded by nothing that this process decides.
"""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import NamedTuple

from penstock.gateway.domain.errors import ApiError

LIMIT = 10
WINDOW_S = 60.0
CLIENTS = 4096
_IPV6_HOST_BITS = 64


class _Window(NamedTuple):
    ends_at: float
    begun: int


class Attempts:
    """Counts each client's attempts in a window that begins with the first one.

    At most `CLIENTS` are counted, and those that were seen last. `now` gives seconds of any clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def begin(self, address: str) -> None:
        """Count an attempt, before its outcome is known: many at once are many. Raises ApiError 429."""
        client, now = client_of(address), self._now()
        window = self._windows.get(client)
        if window is None or window.ends_at <= now:
            window = _Window(now + WINDOW_S, 0)
        if window.begun >= LIMIT:
            raise _too_many(window.ends_at - now)
        self._windows[client] = window._replace(begun=window.begun + 1)
        self._windows.move_to_end(client)
        while len(self._windows) > CLIENTS:
            self._windows.popitem(last=False)

    def forgive(self, address: str) -> None:
        """Take an attempt back that was not wrong."""
        client = client_of(address)
        window = self._windows.get(client)
        if window is not None and window.begun > 0:
            self._windows[client] = window._replace(begun=window.begun - 1)


def client_of(address: str) -> str:
    """Return what stands for one client: an IPv4 address, an IPv6 network of 64 bits, or the text itself.

    A site gets 64 bits of IPv6 addresses or more (RFC 6177), and could use another one for each attempt.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or int(parsed) >> _IPV6_HOST_BITS)
    return str(parsed)


def _too_many(seconds: float) -> ApiError:
    wait_s = max(1, ceil(seconds))
    message = f"Too many wrong keys. Try again in {wait_s} s."
    return ApiError(429, "rate_limit_exceeded", message, retry_after_s=wait_s)

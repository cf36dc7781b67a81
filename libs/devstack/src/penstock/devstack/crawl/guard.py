"""Which URLs and addresses may be fetched. Pure: nothing is resolved here, nothing is connected."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urljoin

import httpx2

from penstock.devstack.crawl.errors import FetchRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 2048
"""Characters; the sitemap protocol has the same bound."""
_PORTS = {"http": 80, "https": 443}
_MAX_HOST = 253
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_DOTTED = re.compile(r"(https?://)([0-9]+(?:\.[0-9]+){3})(?=[:/?#]|$)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_SPECIAL = tuple(
    ip_network(text)
    for text in (
        # https://www.iana.org/assignments/iana-ipv4-special-registry, multicast, and class E.
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        # https://www.iana.org/assignments/iana-ipv6-special-registry below 2000::/3: Teredo is in 2001::/23.
        # No website lives behind Teredo or 6to4 (2002::/16), which reach whatever IPv4 address they embed.
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)
_GLOBAL_IPV6 = IPv6Network("2000::/3")
"""All that is given out as global unicast; loopback, private, link-local and multicast lie elsewhere."""
_IPV4_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = 0x00005EFE

_METADATA = frozenset(
    ip_address(text)
    for text in (
        *("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "192.0.0.192"),
        "168.63.129.16",  # Azure's, and a public address
        *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
    )
)
"""Where clouds hand out a machine's credentials."""


@dataclass(frozen=True)
class Target:
    """Where a URL leads: ``host`` is an IPv4 or IPv6 address in its usual form, or an ASCII DNS name."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> Address | None:
        """The host, if it is an address and no name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @property
    def origin(self) -> str:
        """Scheme, host and port as RFC 6454 writes them: the default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


def check_url(url: str) -> Target:
    """Where the URL leads, read by the same parser that the HTTP client uses.

    FetchRefused if it is not http or https, has a user or password, or names no possible host and port.
    """
    return _target(_parsed(url))


def canonical(url: str) -> str:
    """The same for all spellings of the host and port, and without the fragment; FetchRefused as above."""
    parsed = _parsed(url)
    host = _target(parsed).host
    return str(parsed.copy_with(host=host, raw_path=parsed.raw_path, fragment=None))


def absolute(base: str, reference: str) -> str:
    """The canonical URL that ``reference`` means on the page ``base`` (RFC 3986, 5), or FetchRefused."""
    try:
        return canonical(urljoin(base, reference))
    except ValueError as error:
        raise FetchRefused(f"not a URL: {error}") from error


def is_public(address: Address) -> bool:
    """True for a unicast address of the internet that is no cloud's metadata service.

    IPv4 inside IPv6 counts as that IPv4 address where packets really get there: IPv4-mapped, NAT64
    (RFC 6052) and ISATAP. A network's own NAT64 prefix looks like any other address and is not seen.
    """
    reached = _reached(address)
    if reached in _METADATA or not reached.is_global or any(reached in network for network in _SPECIAL):
        return False
    if isinstance(reached, IPv4Address):
        return True
    inside = _isatap(reached)
    return reached in _GLOBAL_IPV6 and (inside is None or is_public(inside))


def may_connect(address: Address, allowed: Sequence[Network]) -> bool:
    """True for a public address, and one in ``allowed``; a metadata service is never allowed."""
    reached = _reached(address)
    if reached in _METADATA:
        return False
    return is_public(reached) or any(reached in network for network in allowed)


def _reached(address: Address) -> Address:
    """Without a zone, and the IPv4 address where the system or the network would translate to one."""
    if isinstance(address, IPv4Address):
        return address
    if address in _IPV4_MAPPED or address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return IPv6Address(int(address))


def _isatap(address: IPv6Address) -> IPv4Address | None:
    """RFC 5214: the interface identifier is 0000:5efe or 0200:5efe, then the IPv4 address."""
    marker = (int(address) >> 32) & 0xFDFFFFFF
    return IPv4Address(int(address) & 0xFFFFFFFF) if marker == _ISATAP else None


def _parsed(url: str) -> httpx2.URL:
    if len(url) > MAX_URL:
        raise FetchRefused(f"the URL is longer than {MAX_URL:,} characters")
    if "\\" in url or not url.isprintable():
        # Browsers read a backslash as a slash, other programs do not: nobody means such a URL.
        raise FetchRefused("the URL has a backslash or a control character")
    dotted = _DOTTED.match(url)
    if dotted:  # the parser would not take 0177.0.0.1, which the system's resolver does
        url = dotted[1] + (_ipv4(dotted[2]) or dotted[2]) + url[dotted.end() :]
    try:
        return httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise FetchRefused(f"not a URL: {error}") from error


def _target(url: httpx2.URL) -> Target:
    if url.scheme not in _PORTS:
        raise FetchRefused(f"only http and https are fetched, not {url.scheme or 'a URL without a scheme'}")
    if url.userinfo:
        raise FetchRefused("the URL has a user name or a password")
    port = _PORTS[url.scheme] if url.port is None else url.port
    if not 0 < port < 65536:
        raise FetchRefused(f"{port} is no port")
    return Target(url.scheme, _host(url.raw_host.decode("ascii")), port)


def _host(host: str) -> str:
    if ":" in host:
        return _ipv6(host)
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if len(host) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise FetchRefused(f"{host!r} is no host name")
    address = _ipv4(host)
    if address is None and _NUMBER.fullmatch(labels[-1]):
        raise FetchRefused(f"{host!r} is no IPv4 address")
    return address or host


def _ipv4(host: str) -> str | None:
    """What the system's resolver makes of 127.1, 0x7f000001, 0177.0.0.1 and 2130706433."""
    try:
        return str(IPv4Address(socket.inet_aton(host)))
    except OSError:
        return None


def _ipv6(host: str) -> str:
    try:
        address = IPv6Address(host)
    except AddressValueError as error:
        raise FetchRefused(f"{host!r} is no IPv6 address") from error
    if address.scope_id is not None:
        raise FetchRefused("an IPv6 address with a zone is of this machine's own networks")
    return str(address)

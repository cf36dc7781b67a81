"""Sends HTTP requests to checked addresses only, in the name of the host."""

from __future__ import annotations

import ssl

import httpx2

from penstock.devstack.crawl.addresses import Addresses
from penstock.devstack.crawl.guard import Target, check_url


class PinnedTransport(httpx2.AsyncBaseTransport):
    """Puts the address in the place of the host, so that nothing below resolves a name.

    The Host header stays the name's, since it was set before; TLS sends the name (SNI) and checks the
    certificate for it. Every host has connections of its own: two names may share an address, and
    must not share a connection whose certificate was checked for only one of them.
    """

    def __init__(self, addresses: Addresses, tls: ssl.SSLContext | None = None) -> None:
        self._addresses = addresses
        self._tls = tls
        self._transports: dict[Target, httpx2.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer of the first address that can be connected to; all were checked before."""
        target = check_url(str(request.url))
        *others, last = await self._addresses.of(target)
        transport = self._transport(target)
        for address in others:
            try:
                return await transport.handle_async_request(_pinned(request, target, str(address)))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue  # the next one may work: a broken IPv6 route is common
        return await transport.handle_async_request(_pinned(request, target, str(last)))

    async def aclose(self) -> None:
        """Closes all connections."""
        for transport in self._transports.values():
            await transport.aclose()

    def _transport(self, target: Target) -> httpx2.AsyncHTTPTransport:
        if target not in self._transports:
            if self._tls is None:  # one for all: loading the system's certificates takes a while
                self._tls = httpx2.create_ssl_context(trust_env=False)
            self._transports[target] = httpx2.AsyncHTTPTransport(verify=self._tls, trust_env=False)
        return self._transports[target]


def _pinned(request: httpx2.Request, target: Target, address: str) -> httpx2.Request:
    sni = {} if target.address else {"sni_hostname": target.host}
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, **sni},
    )

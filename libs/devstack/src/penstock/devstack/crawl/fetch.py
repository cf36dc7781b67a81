"""Fetches one page at a time from the addresses that the guard allows."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx2

from penstock.devstack.crawl.addresses import Addresses, Resolve, resolve
from penstock.devstack.crawl.bounds import check_size
from penstock.devstack.crawl.errors import FetchFailed, FetchRefused
from penstock.devstack.crawl.guard import Network, absolute, canonical, check_url, is_public
from penstock.devstack.crawl.names import file_name
from penstock.devstack.crawl.robots import USER_AGENT, Robots
from penstock.devstack.crawl.transport import PinnedTransport

MAX_REDIRECTS = 3
CONNECT_S = 5.0
WHOLE_S = 30.0
_ROBOTS_S = 10.0
"""Less than the whole, so that the verdict on a slow robots.txt is kept and not asked for again."""
_ENCODINGS = ("", "identity", "gzip", "deflate")
_NO_TEXT = ("audio/", "font/", "image/", "video/")


@dataclass(frozen=True)
class Fetched:
    """A page. ``url`` is where the redirects ended; ``content_type`` is as the server sent it."""

    url: str
    content_type: str
    body: bytes
    file_name: str


class Fetcher:
    """Fetches for one crawl. ``allowed`` are networks that may be fetched from though not public.

    An ``async with`` block closes its connections. Nothing is taken from the environment: no proxy, which
    would resolve names by itself, and no password. ``tls`` is for a site with a certificate of its own.
    """

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
        whole_s: float = WHOLE_S,
    ) -> None:
        self._addresses = Addresses(allowed, resolve)
        self._client = httpx2.AsyncClient(
            transport=PinnedTransport(self._addresses, tls),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(None, connect=CONNECT_S),
            headers={"user-agent": USER_AGENT, "accept-encoding": "gzip, deflate"},
        )
        self._robots = Robots(self._get_robots)
        self._whole_s = whole_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def fetch(self, url: str) -> Fetched:
        """The page, after at most three redirects that were each checked like the first URL.

        FetchRefused if a rule forbids it, or robots.txt; FetchFailed if the server does not answer in time,
        or with something else than a page.
        """
        return await self._in_time(url, self._whole_s, obeying=True)

    async def _get_robots(self, url: str) -> bytes:
        return (await self._in_time(url, min(_ROBOTS_S, self._whole_s / 2), obeying=False)).body

    async def _in_time(self, url: str, seconds: float, *, obeying: bool) -> Fetched:
        try:
            async with asyncio.timeout(seconds):
                return await self._follow(url, obeying=obeying)
        except TimeoutError as error:
            raise FetchFailed(f"no complete answer within {seconds:g} s") from error

    async def _follow(self, url: str, *, obeying: bool) -> Fetched:
        visited: list[str] = []
        outside = False
        while len(visited) <= MAX_REDIRECTS:
            url = canonical(url)
            if url in visited:
                raise FetchRefused(f"it redirects in a circle, to {url}")
            outside = await self._check_place(url, outside)
            if obeying:
                await self._robots.check(url)
            answer = await self._get(url)
            if isinstance(answer, Fetched):
                return answer
            visited.append(url)
            url = answer
        raise FetchRefused(f"more than {MAX_REDIRECTS} redirects")

    async def _check_place(self, url: str, outside: bool) -> bool:
        """Whether it is on the internet. What comes from there never leads back into an allowed network."""
        target = check_url(url)
        public = all(is_public(address) for address in await self._addresses.of(target))
        if outside and not public:
            raise FetchRefused(f"it redirects from the internet into a private network, to {target.origin}")
        return public

    async def _get(self, url: str) -> Fetched | str:
        """The page, or where it redirects to."""
        try:
            async with self._client.stream("GET", url) as response:
                if response.is_redirect:
                    return _redirect(response)
                content_type = _content_type(response)
                return Fetched(url, content_type, await _body(response), file_name(url, content_type))
        except httpx2.ConnectTimeout as error:
            raise FetchFailed(f"no connection within {CONNECT_S:g} s") from error
        except httpx2.ConnectError as error:
            raise FetchFailed(f"cannot connect to {check_url(url).origin}: {error}") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise FetchFailed(f"a broken answer: {str(error) or type(error).__name__}") from error


def _redirect(response: httpx2.Response) -> str:
    location = response.headers.get("location")
    if not location:
        raise FetchFailed(f"HTTP {response.status_code} without a location", response.status_code)
    return absolute(str(response.url), location)


def _content_type(response: httpx2.Response) -> str:
    """Of an answer that is worth reading; by its head alone."""
    if not response.is_success:
        raise FetchFailed(f"HTTP {response.status_code}", response.status_code)
    content_type = response.headers.get("content-type", "application/octet-stream")
    if content_type.lower().startswith(_NO_TEXT):
        raise FetchRefused(f"{content_type} holds no text")
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise FetchFailed(f"it is encoded as {encoding}, which was not asked for")
    length = response.headers.get("content-length", "")
    if length.isdecimal():
        check_size(int(length), int(length))
    return content_type


async def _body(response: httpx2.Response) -> bytes:
    """Checked after every piece of at most 1 MiB, which is what the client expands at once."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        check_size(len(body), response.num_bytes_downloaded)
    return bytes(body)

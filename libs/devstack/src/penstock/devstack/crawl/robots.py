"""What a site's robots.txt allows (RFC 9309), each asked for once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.robotparser import RobotFileParser

from penstock.devstack.crawl.errors import FetchFailed, FetchRefused, NotFetched
from penstock.devstack.crawl.guard import check_url
from penstock.devstack.crawl.once import Once

USER_AGENT = "Penstock"
_MAX_BYTES = 512_000
"""RFC 9309, 2.5: at least the first 500 KiB are read."""


@dataclass(frozen=True)
class _Rules:
    """``problem``: why robots.txt could not be read."""

    parser: RobotFileParser
    problem: str = ""


class Robots:
    """``get`` returns the body of a URL, and raises NotFetched."""

    def __init__(self, get: Callable[[str], Awaitable[bytes]]) -> None:
        self._get = get
        self._rules: Once[str, _Rules] = Once(self._read)

    async def check(self, url: str) -> None:
        """FetchRefused if it is disallowed; FetchFailed if nobody can know (RFC 9309, 2.3.1.4)."""
        origin = check_url(url).origin
        rules = await self._rules.get(origin)
        if rules.problem:
            raise FetchFailed(f"robots.txt of {origin} cannot be read: {rules.problem}")
        if not rules.parser.can_fetch(USER_AGENT, url):
            raise FetchRefused(f"robots.txt of {origin} disallows it")

    async def _read(self, origin: str) -> _Rules:
        parser = RobotFileParser()
        try:
            body = await self._get(f"{origin}/robots.txt")
        except NotFetched as error:
            status = error.status if isinstance(error, FetchFailed) else None
            if status is None or not 400 <= status < 500:
                return _Rules(parser, error.reason)
            body = b""  # RFC 9309, 2.3.1.3: a site without one allows everything
        parser.parse(body[:_MAX_BYTES].decode("utf-8-sig", errors="replace").splitlines())
        return _Rules(parser)

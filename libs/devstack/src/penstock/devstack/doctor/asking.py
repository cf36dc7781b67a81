"""Asks a server one thing over HTTP: for a bounded time, and for a bounded answer, whatever it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx2
from pydantic import SecretStr

from penstock.devstack.doctor.scene import Scene

_MOST_BYTES = 1 << 20


class NoAnswer(Exception):
    """Nothing that could be an answer came; the text says how it ended."""


class TooSlow(NoAnswer):
    """Nothing came in time."""


@dataclass(frozen=True)
class Reply:
    """Status, body, and the header Date, empty if there is none."""

    status: int
    body: bytes
    date: str

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    @property
    def wants_key(self) -> bool:
        """Whether it is refused for want of a key, or of another one."""
        return self.status in (401, 403)


async def ask(
    scene: Scene,
    url: str,
    body: object = None,
    seconds: float | None = None,
    key: SecretStr | None = None,
) -> Reply:
    """GET, or POST with a JSON body, with a bearer token if there is a key. Raises NoAnswer."""
    headers = {} if key is None else {"authorization": f"Bearer {key.get_secret_value()}"}
    limit = scene.needs.reply_s if seconds is None else seconds
    method = "GET" if body is None else "POST"
    try:
        async with (
            asyncio.timeout(limit),
            scene.client.stream(method, url, json=body, timeout=limit, headers=headers) as response,
        ):
            return Reply(response.status_code, await _bounded(response), response.headers.get("date", ""))
    except (TimeoutError, httpx2.TimeoutException) as failure:
        raise TooSlow(f"nothing within {limit:.1f} s") from failure
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as failure:
        raise NoAnswer(type(failure).__name__) from failure


async def _bounded(response: httpx2.Response) -> bytes:
    body = b""
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _MOST_BYTES:
            raise NoAnswer(f"more than {_MOST_BYTES} bytes")
    return body

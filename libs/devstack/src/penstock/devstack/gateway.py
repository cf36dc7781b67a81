"""A connection to the gateway whose errors are one line each."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx2
import msgspec

from penstock.devstack.errors import DevstackError

_CONNECT_TIMEOUT_S = 5.0
_SILENCE_TIMEOUT_S = 150.0
"""Longer than a request's deadline in the gateway: its own error should come first."""


class GatewayError(msgspec.Struct):
    """What the gateway says of an error, in OpenAI's words."""

    message: str
    type: str | None = None
    code: str | int | None = None


class _ErrorBody(msgspec.Struct):
    error: GatewayError


@asynccontextmanager
async def connected(url: str, key: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the gateway; DevstackError for everything that goes wrong on the way."""
    timeout = httpx2.Timeout(_SILENCE_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx2.AsyncClient(
            base_url=url, headers=headers, timeout=timeout, trust_env=not is_local(url)
        ) as client:
            yield client
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise DevstackError(f"No gateway answers at {url}: start it with `penstock up`") from error
    except httpx2.TimeoutException as error:
        raise DevstackError(f"The gateway sent nothing for {_SILENCE_TIMEOUT_S:.0f} s") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise DevstackError(f"The connection to {url} failed: {error}") from error
    except msgspec.DecodeError as error:
        raise DevstackError(f"{url} does not answer like Penstock's gateway: {error}") from error


def is_local(url: str) -> bool:
    """True for this machine's own addresses, to which no proxy setting applies."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def raise_for_error(response: httpx2.Response, body: bytes) -> None:
    """DevstackError with the gateway's own words, unless the status is 200."""
    if response.status_code == 200:
        return
    try:
        error = msgspec.json.decode(body, type=_ErrorBody).error
    except msgspec.DecodeError:
        raise DevstackError(f"The gateway answered HTTP {response.status_code}") from None
    raise DevstackError(describe(error, response.status_code))


def describe(error: GatewayError, status: int | None = None) -> str:
    """The error in one line."""
    kind = error.code or error.type
    details = [str(kind)] if kind else []
    details += [f"HTTP {status}"] if status else []
    return f"{error.message} ({', '.join(details)})" if details else error.message

"""A service behind the gateway, over HTTP: requests passed on to it, byte by byte."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx2
import structlog
from pydantic import SecretStr

from penstock.gateway.domain import errors

CONNECT_S = 5.0
SILENCE_S = 60.0
"""For how long it may take no more of a body, or say nothing."""

Headers = Sequence[tuple[bytes, bytes]]
log = structlog.get_logger(__name__)


class Outgoing(NamedTuple):
    """A request to pass on. `target` is the path with its query, percent-encoded; no body: None."""

    method: str
    target: bytes
    headers: Headers
    body: AsyncIterable[bytes] | None


class Upstream:
    """One server at `url`; its responses are streamed as they come, whatever their content coding.

    Without a URL there is none; its operator would name it in `setting`. `key` is sent as a bearer token.
    """

    def __init__(
        self, name: str, setting: str, url: str, client: httpx2.AsyncClient, key: SecretStr | None = None
    ) -> None:
        self.name = name
        self._setting = setting
        self._url = httpx2.URL(url)
        self._prefix = self._url.raw_path.rstrip(b"/")
        self._client = client
        self._authorization: Headers = (
            [(b"authorization", f"Bearer {key.get_secret_value()}".encode())] if key else []
        )
        self._timeout = httpx2.Timeout(SILENCE_S, connect=CONNECT_S, pool=None).as_dict()

    @property
    def is_set_up(self) -> bool:
        """Whether there is such a server."""
        return bool(self._url.host)

    def require(self) -> None:
        """Raise ApiError 503 if there is no such server."""
        if not self.is_set_up:
            raise errors.not_configured(self._setting)

    @asynccontextmanager
    async def send(self, outgoing: Outgoing) -> AsyncIterator[httpx2.Response]:
        """Send a request and give its response, whose body is still to be read.

        Raises ApiError 502, 503, 504 before there is a response, and what the body raises.
        """
        request = httpx2.Request(
            outgoing.method,
            self._url,
            headers=[*outgoing.headers, *self._authorization],
            content=outgoing.body,
            # The target as bytes: a URL of the library's would be put into its own normal form.
            extensions={"target": self._prefix + outgoing.target, "timeout": self._timeout},
        )
        try:
            response = await self._client.send(request, stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise errors.not_ready([f"{self.name}: {type(error).__name__}"]) from error
        except httpx2.TimeoutException as error:
            raise errors.upstream_timed_out(self.name, SILENCE_S) from error
        except httpx2.HTTPError as error:
            log.warning("upstream_broke_off", upstream=self.name, error=type(error).__name__)
            raise errors.upstream_failed(self.name) from error
        try:
            yield response
        finally:
            await response.aclose()


def tenant_header(tenant: str) -> tuple[bytes, bytes]:
    """Return the header that tells another service whose request it is. Raises ApiError 500."""
    if not (tenant.isascii() and tenant.isprintable() and tenant == tenant.strip()):
        raise errors.unusable_tenant()
    return b"x-penstock-tenant", tenant.encode()

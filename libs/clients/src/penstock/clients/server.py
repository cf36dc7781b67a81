"""HTTP to one model server: bounded in connections, in bytes and in time; its key goes to it alone."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import aiohttp
import msgspec
from opentelemetry import trace
from pydantic import SecretStr
from yarl import URL

from penstock.clients.errors import ERROR_BYTES, Away, ModelServerError, Unavailable, WrongDialect, of_status
from penstock.clients.events import Events
from penstock.clients.pauses import Pauses, Seconds, without_pause
from penstock.telemetry import names
from penstock.telemetry.spans import traceparent
from penstock.telemetry.work_context import current_work

CONNECT_SECONDS = 5.0
CONNECTIONS = 1_024
"""To one server at once; one request more waits."""
_IDLE_SECONDS = 3.0
"""An idle connection is given up before the server does it (uvicorn: after 5 s), just as it is used again."""
_STREAM = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
_EVENT_STREAM = "text/event-stream"
_SMALL = 1 << 20

T = TypeVar("T")


class ModelServer:
    """A server below `url`. All calls raise ModelServerError.

    `key` is sent to it as a bearer token. Redirects are not followed, and neither proxies nor credentials
    from the environment are used, so that the key goes nowhere else, and no other key to it. `seconds` is how
    long an answer may take that is not a stream.
    """

    def __init__(self, url: str, key: SecretStr | None = None, seconds: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self._headers = {"accept-encoding": "identity", "content-type": "application/json"}
        if key is not None:
            self._headers["authorization"] = f"Bearer {key.get_secret_value()}"
        self._whole = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self, path: str, answer: msgspec.json.Decoder[T], body: bytes | None = None, limit: int = _SMALL
    ) -> T:
        """GET, or POST with a body; return the answer, which has at most `limit` bytes."""
        found = await self.fetch(path, body, limit)
        try:
            return answer.decode(found)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # Not its cause: that may quote what was asked.
            raise WrongDialect(f"{path} answers something else ({error})") from None

    async def fetch(self, path: str, body: bytes | None = None, limit: int = _SMALL) -> bytes:
        """Do the same, and return the answer as it comes."""
        async with self._asked(path, body, self._whole) as response:
            return await _bounded(response, limit)

    async def stream(
        self, path: str, body: bytes, pause: Seconds = without_pause
    ) -> AsyncGenerator[list[bytes], None]:
        """POST, and yield the data of the events that come, those of one read together.

        Between two reads there is a `pause`. How long events may take is the caller's to know. Closing it
        closes the connection, unless all has come.
        """
        async with self._asked(path, body, _STREAM) as response:
            if response.content_type != _EVENT_STREAM:
                raise WrongDialect(f"{path} answers {response.content_type[:80]}, not {_EVENT_STREAM}")
            events, pauses = Events(), Pauses(response.content, pause)
            while piece := await response.content.readany():
                if found := events.feed(piece):
                    yield found
                    await pauses.pause()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _asked(
        self, path: str, body: bytes | None, limits: aiohttp.ClientTimeout
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        with _classified(limits.total):
            response = await self._opened().request(
                "GET" if body is None else "POST",
                URL(self.url + path, encoded=True),
                data=body,
                headers=_context(),
                timeout=limits,
                allow_redirects=False,
            )
            try:
                with _ending(response):
                    if not response.ok or response.status >= 300:
                        raise of_status(response.status, await _beginning(response))
                    yield response
            finally:
                response.release()  # closes the connection, unless all of the answer has been read

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=_IDLE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


@contextmanager
def _classified(seconds: float | None) -> Iterator[None]:
    try:
        yield
    except ModelServerError:
        raise
    except aiohttp.ConnectionTimeoutError as error:
        raise Away(f"no connection within {CONNECT_SECONDS:g} s") from error
    except TimeoutError as error:
        raise Unavailable(f"no answer within {seconds:g} s" if seconds else "too slow") from error
    except aiohttp.ClientConnectorError as error:
        raise Away(f"no connection ({type(error.os_error).__name__})") from error
    except (aiohttp.ClientResponseError, aiohttp.http_exceptions.HttpProcessingError) as error:
        raise WrongDialect("no HTTP") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"no answer ({type(error).__name__})") from error


@contextmanager
def _ending(response: aiohttp.ClientResponse) -> Iterator[None]:
    """See to it that a body ends when its connection does.

    aiohttp closes the connection when what comes is no HTTP, and lets who reads the body wait.
    """
    protocol = None if response.connection is None else response.connection.protocol
    closed = None if protocol is None else protocol.closed
    if closed is None:
        yield
        return

    def end(_: object) -> None:
        if not response.content.is_eof() and response.content.exception() is None:
            response.content.set_exception(aiohttp.ClientPayloadError("the connection was closed"))

    closed.add_done_callback(end)
    try:
        yield
    finally:
        closed.remove_done_callback(end)


def _context() -> dict[str, str]:
    """Return the headers that name the current span and request, if there are any."""
    span = trace.get_current_span()
    if not (parent := traceparent(span)):
        return {}
    request_id = current_work().attributes.get(names.PENSTOCK_REQUEST_ID)
    return {"traceparent": parent, **({"x-request-id": request_id} if request_id else {})}


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    pieces: list[bytes] = []
    length, announced = 0, response.content_length or 0
    while max(length, announced) <= limit:
        if not (piece := await response.content.readany()):
            return b"".join(pieces)
        pieces.append(piece)
        length += len(piece)
    raise WrongDialect(f"an answer of more than {limit} bytes")


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Return what an error says; one that says too much, or breaks off, is still an error of that status."""
    try:
        return await _bounded(response, ERROR_BYTES)
    except (ModelServerError, aiohttp.ClientError, OSError):
        return b""

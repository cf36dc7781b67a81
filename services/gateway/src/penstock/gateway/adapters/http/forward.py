"""Requests that another service answers, passed on and back in streams."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import httpx2
import structlog
from fastapi import Response
from opentelemetry import trace
from starlette.types import Receive, Scope, Send

from penstock.gateway.adapters.http.body import ClientGone, refuse_encoding
from penstock.gateway.adapters.http.edge import header_of, optional_header
from penstock.gateway.adapters.http.incoming import Incoming
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.adapters.upstream import Headers, Outgoing, Upstream, tenant_header
from penstock.gateway.budget import Budget
from penstock.gateway.domain import errors
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.domain.target import target_of
from penstock.streaming.server import first_done
from penstock.telemetry.spans import fail

# All else stays here: the key, cookies, and what only the gateway may say (tenant, ids, the trace).
PASSED_ON = (b"accept", b"idempotency-key", b"range")
OF_A_BODY = (b"content-type", b"content-length")
# Of one connection (RFC 9110 section 7.6.1), or the gateway's own to say.
_KEPT_BACK = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"date",
    b"server",
    b"set-cookie",
    b"x-request-id",
}
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Passing:
    """How the requests of a route are passed on: to whom, and what of the gateway they take meanwhile.

    `template` is the route's path, `most` the bytes that a body may have. `own` are headers that the gateway
    says besides the tenant and the request's id. An `endless` response is ended when the gateway
    stops.
    """

    upstream: Upstream
    template: str
    most: int
    places: Sequence[Budget]
    own: Headers = ()
    endless: bool = False


class Forwarding(Response):
    """The response of another service to a request."""

    def __init__(self, service: Service, passing: Passing) -> None:
        super().__init__()
        self._service = service
        self._passing = passing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        passing = self._passing
        with self._places(), suppress(ClientGone):
            passing.upstream.require()
            incoming = self._incoming(scope, receive)
            outgoing = self._outgoing(scope, incoming)
            ends = [incoming.gone()]
            if passing.endless:
                ends.append(self._stopping())
            await first_done([_relay(passing, outgoing, send), *ends])

    async def _stopping(self) -> None:
        await self._service.stopping.wait()

    @contextmanager
    def _places(self) -> Iterator[None]:
        with ExitStack() as held:
            for place in self._passing.places:
                held.enter_context(place.taken())
            yield

    def _incoming(self, scope: Scope, receive: Receive) -> Incoming:
        limit = self._passing.most
        length = header_of(scope, b"content-length")
        if length.isdigit() and int(length) > limit:
            raise errors.file_too_large(limit)
        return Incoming(receive, limit, self._service.limits.body_timeout_s)

    def _outgoing(self, scope: Scope, incoming: Incoming) -> Outgoing:
        target = target_of(self._passing.template, scope["raw_path"])
        if target is None:
            raise ApiError(404, "unknown_url", "There is no such place. See /openapi.json for what there is.")
        query = scope["query_string"]
        has_body = scope["method"] == "POST" and _has_body(scope)
        if has_body:
            refuse_encoding(scope)
        else:
            incoming.skip()
        return Outgoing(
            scope["method"],
            target + b"?" + query if query else target,
            [*_passed_on(scope, has_body), *_own(scope), *self._passing.own],
            incoming.pieces() if has_body else None,
        )


async def _relay(passing: Passing, outgoing: Outgoing, send: Send) -> None:
    last = {"type": "http.response.body", "body": b"", "more_body": False}
    async with passing.upstream.send(outgoing) as response:
        await send(
            {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": _given_back(response.headers.raw),
            }
        )
        try:
            async for piece in response.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except httpx2.HTTPError as error:
            # The server closes the connection of a response without end, so that the client notices.
            fail(trace.get_current_span(), type(error).__name__)
            log.warning("response_broke_off", upstream=passing.upstream.name, error=type(error).__name__)
            return
        except asyncio.CancelledError:
            if passing.endless:  # it may be cut anywhere; the client comes again by itself
                await send(last)
            raise
        await send(last)


def _has_body(scope: Scope) -> bool:
    length = header_of(scope, b"content-length")
    return optional_header(scope, b"transfer-encoding") is not None or length not in ("", "0")


def _passed_on(scope: Scope, has_body: bool) -> Headers:
    wanted = (*PASSED_ON, *OF_A_BODY) if has_body else PASSED_ON
    return [(name, value) for name, value in dict(reversed(scope["headers"])).items() if name in wanted]


def _own(scope: Scope) -> Headers:
    state = scope["state"]
    return [tenant_header(state["caller"].tenant), (b"x-request-id", state["request_id"].encode())]


def _given_back(headers: Headers) -> Headers:
    lowered = [(name.lower(), value) for name, value in headers]
    named = {
        each.strip().lower() for name, value in lowered if name == b"connection" for each in value.split(b",")
    }
    return [(name, value) for name, value in lowered if name not in _KEPT_BACK | named]

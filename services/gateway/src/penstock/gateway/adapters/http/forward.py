"""Requests that another service answers, passed on and back in streams."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx2
import structlog
from fastapi import Response
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Receive, Scope, Send

from penstock.gateway.adapters.http.body import ClientGone, refuse_encoding
from penstock.gateway.adapters.http.edge import header_of, optional_header
from penstock.gateway.adapters.http.incoming import Incoming
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.adapters.ingestion import SETTING, Headers, Ingestion, Outgoing
from penstock.gateway.domain import errors
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.domain.target import target_of
from penstock.streaming.tracing import fail, traceparent
from penstock.telemetry import names

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
_PROPAGATOR = TraceContextTextMapPropagator()
log = structlog.get_logger(__name__)


class Forwarding(Response):
    """The response of the ingestion service to a request at `template`; with `upload` of a whole file."""

    def __init__(self, service: Service, template: str, upload: bool) -> None:
        super().__init__()
        self._service = service
        self._template = template
        self._upload = upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._span(scope) as span, self._places(), suppress(ClientGone):
            ingestion = self._service.ingestion
            if ingestion is None:
                raise errors.not_configured(SETTING)
            incoming = self._incoming(scope, receive)
            outgoing = self._outgoing(scope, incoming, traceparent(span))
            await _unless(incoming.gone(), _relay(ingestion, outgoing, send, span))

    @contextmanager
    def _places(self) -> Iterator[None]:
        with ExitStack() as held:
            held.enter_context(self._service.open_requests.taken())
            if self._upload:
                held.enter_context(self._service.uploads.taken())
            yield

    def _incoming(self, scope: Scope, receive: Receive) -> Incoming:
        limits = self._service.limits
        limit = limits.max_upload if self._upload else limits.max_body
        length = header_of(scope, b"content-length")
        if length.isdigit() and int(length) > limit:
            raise errors.file_too_large(limit)
        return Incoming(receive, limit, limits.body_timeout_s)

    def _outgoing(self, scope: Scope, incoming: Incoming, trace: str) -> Outgoing:
        target = target_of(self._template, scope["raw_path"])
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
            [*_passed_on(scope, has_body), *_own(scope, trace)],
            incoming.pieces() if has_body else None,
        )

    @contextmanager
    def _span(self, scope: Scope) -> Iterator[Span]:
        """Measure the request; an error of the client's is none of the span's (as OpenTelemetry has it)."""
        with self._service.tracer.start_as_current_span(
            f"{scope['method']} {self._template}",
            _PROPAGATOR.extract({"traceparent": header_of(scope, b"traceparent")}, Context()),
            SpanKind.SERVER,
            {
                "http.request.method": scope["method"],
                "http.route": self._template,
                names.PENSTOCK_TENANT: scope["state"]["tenant"],
                names.MESSAGING_CONVERSATION_ID: scope["state"]["request_id"],
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except ApiError as error:
                _note_status(span, error.status, error.code)
                raise


async def _unless(gone: Coroutine[Any, Any, None], work: Coroutine[Any, Any, None]) -> None:
    """Do the work, but stop it when the client has gone."""
    tasks = [asyncio.create_task(work), asyncio.create_task(gone)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _relay(ingestion: Ingestion, outgoing: Outgoing, send: Send, span: Span) -> None:
    async with ingestion.send(outgoing) as response:
        _note_status(span, response.status_code, str(response.status_code))
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
            fail(span, type(error).__name__)
            log.warning("response_broke_off", error=type(error).__name__)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _has_body(scope: Scope) -> bool:
    length = header_of(scope, b"content-length")
    return optional_header(scope, b"transfer-encoding") is not None or length not in ("", "0")


def _passed_on(scope: Scope, has_body: bool) -> Headers:
    wanted = (*PASSED_ON, *OF_A_BODY) if has_body else PASSED_ON
    return [(name, value) for name, value in dict(reversed(scope["headers"])).items() if name in wanted]


def _own(scope: Scope, trace: str) -> Headers:
    state = scope["state"]
    tenant: str = state["tenant"]
    if not (tenant.isascii() and tenant.isprintable() and tenant == tenant.strip()):
        raise errors.unusable_tenant()
    own = [(b"x-penstock-tenant", tenant.encode()), (b"x-request-id", state["request_id"].encode())]
    return [*own, (b"traceparent", trace.encode())] if trace else own


def _given_back(headers: Headers) -> Headers:
    lowered = [(name.lower(), value) for name, value in headers]
    named = {
        each.strip().lower() for name, value in lowered if name == b"connection" for each in value.split(b",")
    }
    return [(name, value) for name, value in lowered if name not in _KEPT_BACK | named]


def _note_status(span: Span, status: int, error_type: str) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        fail(span, error_type)

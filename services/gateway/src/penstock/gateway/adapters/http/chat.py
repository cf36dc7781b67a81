"""One chat completion over HTTP: from the body to the last byte of the answer."""

from contextlib import AbstractContextManager, suppress

from fastapi import Response
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Receive, Scope, Send

from penstock.gateway.adapters.http.body import ClientGone, read_json_body
from penstock.gateway.adapters.http.edge import header_of, optional_header
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.adapters.http.showing import Connected, Wish, show
from penstock.gateway.asking import Question
from penstock.gateway.domain import errors
from penstock.gateway.domain.accept import parse, question_of
from penstock.gateway.domain.asked import event_number, grace_ms, idempotency_key
from penstock.gateway.domain.errors import ApiError
from penstock.streaming.tracing import fail
from penstock.telemetry import names

_PROPAGATOR = TraceContextTextMapPropagator()


class Conversation(Response):
    """The response that does it all, so that what it holds is given back when the response ends."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service, state = self._service, scope["state"]
        if not service.readiness.is_ready:
            raise errors.not_ready(service.readiness.waiting_for)
        with service.open_requests.taken(), suppress(ClientGone):
            question, wish = await self._read(scope, receive)
            with self._span(scope, question.content.model) as span:
                async with service.asking.ask(question, span) as attended:
                    del question  # it may be large, and the answer long
                    state["request_id"] = attended.request_id
                    await show(Connected(scope, receive, send), attended, wish, service.limits.keep_alive_s)
                    end = attended.follower.answer.end
                    if isinstance(end, ApiError):
                        fail(span, end.code)

    async def _read(self, scope: Scope, receive: Receive) -> tuple[Question, Wish]:
        key = idempotency_key(optional_header(scope, b"idempotency-key"))
        after = event_number("Last-Event-ID", optional_header(scope, b"last-event-id")) if key else -1
        grace = grace_ms(
            optional_header(scope, b"x-disconnect-grace"), self._service.limits.disconnect_grace_s
        )
        request = parse(await read_json_body(scope, receive, self._service))
        self._service.models.find(request.model)
        state, options = scope["state"], request.stream_options
        question = Question(
            state["request_id"],
            state["tenant"],
            question_of(request),
            key,
            grace,
            resumes=bool(request.stream) and after >= 0,
        )
        return question, Wish(bool(request.stream), bool(options and options.include_usage), after)

    def _span(self, scope: Scope, model: str) -> AbstractContextManager[Span]:
        return self._service.tracer.start_as_current_span(
            "POST /v1/chat/completions",
            _PROPAGATOR.extract({"traceparent": header_of(scope, b"traceparent")}, Context()),
            SpanKind.SERVER,
            {
                names.GEN_AI_OPERATION: "chat",
                names.GEN_AI_REQUEST_MODEL: model,
                names.PENSTOCK_TENANT: scope["state"]["tenant"],
                names.MESSAGING_CONVERSATION_ID: scope["state"]["request_id"],
            },
        )

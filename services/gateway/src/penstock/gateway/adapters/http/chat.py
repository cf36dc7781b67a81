"""One chat completion over HTTP: from the body to the last byte of the answer."""

from contextlib import suppress

from fastapi import Response
from opentelemetry import trace
from starlette.types import Receive, Scope, Send

from penstock.gateway.adapters.http.body import ClientGone, read_json_body
from penstock.gateway.adapters.http.edge import optional_header, serve_request
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.adapters.http.showing import Connected, ResponseOptions, show
from penstock.gateway.domain import errors
from penstock.gateway.domain.caller import Caller
from penstock.gateway.domain.chat_request import parse, question_of
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.domain.request_info import event_number, grace_ms, idempotency_key
from penstock.gateway.request_intake import Question
from penstock.telemetry import names
from penstock.telemetry.spans import fail


class Conversation(Response):
    """The response that does it all, so that what it holds is given back when the response ends."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service, span = self._service, trace.get_current_span()
        if not service.readiness.is_ready:
            raise errors.not_ready(service.readiness.waiting_for)
        with service.open_requests.taken(), suppress(ClientGone):
            question, options = await self._read(scope, receive)
            span.set_attribute(names.GEN_AI_REQUEST_MODEL, question.content.model)
            async with service.intake.submit(question, span) as attended:
                del question  # it may be large, and the answer long
                if attended.request_id != scope["state"]["request_id"]:
                    serve_request(scope, attended.request_id)
                client, times = Connected(scope, receive, send), service.measures.times(scope)
                await show(client, attended, options, service.limits.keep_alive_s, times)
                end = attended.follower.answer.end
                service.measures.answered(attended.info.model, times, end)
                if isinstance(end, ApiError) and end.status >= 500:
                    fail(span, end.code)

    async def _read(self, scope: Scope, receive: Receive) -> tuple[Question, ResponseOptions]:
        key = idempotency_key(optional_header(scope, b"idempotency-key"))
        after = event_number("Last-Event-ID", optional_header(scope, b"last-event-id")) if key else -1
        grace = grace_ms(
            optional_header(scope, b"x-disconnect-grace"), self._service.limits.disconnect_grace_s
        )
        request = parse(await read_json_body(scope, receive, self._service))
        self._service.models.find(request.model)
        options = request.stream_options
        caller: Caller = scope["state"]["caller"]
        content = question_of(request, caller.api_key)
        policies, stores = self._service.policies, content.search.stores
        question = Question(
            scope["state"]["request_id"],
            caller.tenant,
            content,
            key,
            grace,
            resumes=bool(request.stream) and after >= 0,
            answers=None if request.answers else await policies.answers_for(caller.tenant, stores),
        )
        return question, ResponseOptions(bool(request.stream), bool(options and options.include_usage), after)

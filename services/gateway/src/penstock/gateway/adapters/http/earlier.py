"""Requests made before, by their ids, at whichever gateway: the answer, its stream, its state, its end."""

from collections.abc import Mapping

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from penstock.gateway.adapters.http.edge import optional_header, serve_request
from penstock.gateway.adapters.http.replies import reply
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.adapters.http.showing import Connected, ResponseOptions, finished, show
from penstock.gateway.domain import errors, render
from penstock.gateway.domain.errors import invalid
from penstock.gateway.domain.request_info import RequestInfo, event_number, grace_ms
from penstock.gateway.request_intake import Attended
from penstock.messages.ids import request_id_of

_NAMED = {"last-event-id": "Last-Event-ID", "starting_after": "starting_after"}


async def retrieve(service: Service, request: Request) -> Response:
    """Return the answer or its error; 202 and how far it is while it goes on."""
    with service.open_requests.taken():
        request_id, info = await _find(service, request.scope)
        async with service.intake.observe(request_id, info) as attended:
            return finished(attended) if attended.follower.answer.end else _status(attended, 202)


async def cancel(service: Service, request: Request) -> Response:
    """Have a request given up, unless it has ended, and return how far it was."""
    with service.open_requests.taken():
        request_id, info = await _find(service, request.scope)
        async with service.intake.observe(request_id, info) as attended:
            if attended.follower.answer.final:
                return _status(attended, 200)
            await service.presence.cancel(request_id, info.tenant)
            return _status(attended, 202)


class Resumption(Response):
    """The stream of an answer from any place on; gives back what it holds when the response ends."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service, request = self._service, Request(scope)
        options = _options(request.query_params, optional_header(scope, b"last-event-id"))
        grace = grace_ms(optional_header(scope, b"x-disconnect-grace"), service.limits.disconnect_grace_s)
        with service.open_requests.taken():
            request_id, info = await _find(service, scope)
            async with service.intake.attach(request_id, info, grace) as attended:
                client, times = Connected(scope, receive, send), service.measures.times(scope)
                await show(client, attended, options, service.limits.keep_alive_s, times)


async def _find(service: Service, scope: Scope) -> tuple[str, RequestInfo]:
    """Return the request that the path names, as one of the caller's. Raises ApiError 404, 429, 503."""
    # An answer can be read while the backends are away.
    waiting_for = [reason for reason in service.readiness.waiting_for if not reason.startswith("backends:")]
    if waiting_for:
        raise errors.not_ready(waiting_for)
    request_id = request_id_of(scope["path_params"]["id"])
    info = await service.intake.find(request_id, scope["state"]["caller"].tenant)
    serve_request(scope, request_id)
    return request_id, info


def _status(attended: Attended, status: int) -> Response:
    answer = attended.follower.answer
    return reply(render.status(attended.request_id, attended.info.model, answer), status)


def _options(query: Mapping[str, str], last_event_id: str | None) -> ResponseOptions:
    usage = query.get("include_usage", "false").lower()
    if usage not in ("true", "false"):
        raise invalid("include_usage", "include_usage must be true or false.")
    # A client that comes again by itself sends the header, and the address it had at first.
    name, given = "Last-Event-ID", last_event_id
    if given is None:
        name, given = "starting_after", query.get("starting_after")
    return ResponseOptions(True, usage == "true", event_number(name, given), name)

"""The routes that the observer service answers: requests, the pipeline, dead letters, usage."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from fastapi import FastAPI, Request, Response

from penstock.gateway.adapters.http.forward import Forwarding, Passing
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.domain import errors
from penstock.gateway.domain.caller import Caller

OPERATOR = b"penstock-operator"
_LETTER = "/console/api/dead_letters/{topic}/{offset}"


class Route(NamedTuple):
    """One operation; for `operators` only; `endless` if it is a stream of events."""

    method: str
    path: str
    operators: bool = False
    endless: bool = False


# The first that fits is taken: a stream's path would fit `{id}` as well.
ROUTES = (
    Route("GET", "/console/api/requests"),
    Route("GET", "/console/api/requests/stream", endless=True),
    Route("GET", "/console/api/requests/{id}"),
    Route("GET", "/console/api/pipeline", operators=True),
    Route("GET", "/console/api/pipeline/stream", operators=True, endless=True),
    Route("GET", "/console/api/dead_letters", operators=True),
    Route("GET", _LETTER, operators=True),
    Route("DELETE", _LETTER, operators=True),
    Route("POST", _LETTER + "/replay", operators=True),
    Route("GET", "/console/api/usage"),
)


def add_observed(app: FastAPI) -> None:
    """Add the routes to the app; they are the console's own, so the OpenAPI document leaves them out."""
    for route in ROUTES:
        app.add_api_route(
            route.path,
            _endpoint(route),
            methods=[route.method],
            response_class=Response,
            include_in_schema=False,
        )


def _endpoint(route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def forward(request: Request) -> Response:
        service: Service = request.app.state.service
        caller: Caller = request.state.caller
        if route.operators and not caller.operator:
            raise errors.operators_only()
        place = service.console_streams if route.endless else service.console_calls
        own = ((OPERATOR, b"1" if caller.operator else b"0"),)
        passing = Passing(
            service.observer,
            route.path,
            service.limits.max_body,
            [place],
            own,
            endless=route.endless,
        )
        return Forwarding(service, passing)

    return forward

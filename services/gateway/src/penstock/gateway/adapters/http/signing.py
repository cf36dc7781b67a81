"""Signing in to the console and out again, and who is signed in."""

import msgspec
from fastapi import FastAPI, Request, Response

from penstock.gateway.adapters.http.body import read_json_body
from penstock.gateway.adapters.http.edge import COOKIE, header_of, token_of
from penstock.gateway.adapters.http.replies import reply
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.domain import errors
from penstock.gateway.domain.caller import Caller
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.domain.fields import decoded
from penstock.gateway.ports import AccountsAway
from penstock.messages.event import JSON

_MAX_BODY = 4096


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a sign-in."""

    key: str


class Me(msgspec.Struct):
    """Who is signed in; `api_key` is the beginning of the key."""

    tenant: str
    operator: bool
    api_key: str


_decoder = msgspec.json.Decoder(SignIn)


def add_signing(app: FastAPI) -> None:
    """Add the routes to the app."""
    for method, path, endpoint in (
        ("POST", "/console/session", sign_in),
        ("GET", "/console/session", session),
        ("DELETE", "/console/session", sign_out),
        ("GET", "/console/api/me", me),
    ):
        app.add_api_route(path, endpoint, methods=[method], response_class=Response, include_in_schema=False)


async def sign_in(request: Request) -> Response:
    """Open a session for a key, and give its token as a cookie that no script can read (RFC 6265bis)."""
    service: Service = request.app.state.service
    if not header_of(request.scope, b"content-type"):
        # Else a page on another port of this host could sign a browser in, as whom it likes, without
        # being asked for its right to (WHATWG Fetch, CORS-preflight).
        raise ApiError(415, "unsupported_media_type", f"Send JSON with 'Content-Type: {JSON}'.")
    body = await read_json_body(request.scope, request.receive, service, _MAX_BODY)
    key = decoded(body, _decoder).key.strip()
    try:
        token = await service.sessions.open(key, request.client.host if request.client else "")
        if token is None:
            raise errors.wrong_key("Incorrect API key. Check the key, or ask the operator for a new one.")
        await service.sessions.close(token_of(request.scope))
    except AccountsAway as error:
        raise errors.not_ready([f"accounts: {error}"]) from error
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        token,
        max_age=round(service.limits.session_s),
        secure=request.scope["scheme"] == "https",
        httponly=True,
        samesite="strict",
    )
    return response


async def sign_out(request: Request) -> Response:
    """End the session, if there is one, and take the cookie back."""
    service: Service = request.app.state.service
    try:
        await service.sessions.close(token_of(request.scope))
    except AccountsAway as error:
        raise errors.not_ready([f"accounts: {error}"]) from error
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


async def session(request: Request) -> Response:
    """Say who is signed in, or by 204 that nobody is: no error, else each first visit would log one."""
    service: Service = request.app.state.service
    try:
        caller = await service.sessions.caller_of(token_of(request.scope))
    except AccountsAway as error:
        raise errors.not_ready([f"accounts: {error}"]) from error
    return _about(caller) if caller else Response(status_code=204)


async def me(request: Request) -> Response:
    """Say whose key or session it is that the request brings."""
    return _about(request.state.caller)


def _about(caller: Caller) -> Response:
    return reply(msgspec.json.encode(Me(caller.tenant, caller.operator, caller.api_key)))

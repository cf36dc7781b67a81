"""The outermost layer: a request id and guarding headers for all, a caller for all of /v1/ and /console/api/.

Plain ASGI, since it lies on the way of every event of every stream. New routes below /v1/ are behind the
key by default.
"""

import re

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.gateway.adapters.http.guards import guarded
from penstock.gateway.adapters.http.replies import error_reply
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.domain import errors
from penstock.gateway.domain.caller import Caller
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.ports import AccountsAway
from penstock.telemetry.work_context import WorkContext, set_work_context

CLOSED = ("/v1/", "/console/api/")
COOKIE = "penstock_session"
CONSOLE_HEADER = "penstock-console"
"""With the value 1 it says that the console's own code asks: no other page may send it (WHATWG Fetch)."""
_READING = ("GET", "HEAD", "OPTIONS")
# The one cookie of ours is picked out. Parsers of all cookies (Starlette's is the standard library's) undo
# quoting, in quadratic time before Python 3.11.10 (CVE-2024-7592), and anybody may send a long header.
_TOKEN = re.compile(rf"(?:^|;)[ \t]*{COOKIE}=([^;\s]{{1,128}})")


class Edge:
    """Wraps the app; leaves `request_id`, `caller` and `direct_send` in the scope's state.

    `direct_send` is the server's own: once a response has begun, the layers between only pass its events on.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = self._service.exchange.new_id()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Read only now: a route may have found that the request is an earlier one.
                request_id = (b"x-request-id", state["request_id"].encode())
                message["headers"] = [*guarded(scope["path"], message["headers"]), request_id]
            await send(message)

        state["direct_send"] = send
        app = self._app
        if scope["path"].startswith(CLOSED):
            try:
                state["caller"] = await self._caller(scope)
            except ApiError as error:
                app = error_reply(error)
        serve_request(scope, state["request_id"])
        await app(scope, receive, send_with_headers)

    async def _caller(self, scope: Scope) -> Caller:
        """Return who calls: by the key that is given, else by the session's cookie."""
        key = key_of(scope)
        try:
            if key:
                return await self._by_key(key)
            if token := token_of(scope):
                return await self._by_session(token, scope)
        except AccountsAway as error:
            raise errors.not_ready([f"accounts: {error}"]) from error
        raise errors.wrong_key("No API key given. Send it in the header 'Authorization: Bearer KEY'.")

    async def _by_key(self, key: str) -> Caller:
        caller = await self._service.access.caller_of(key)
        if caller is None:
            raise errors.wrong_key("Incorrect API key. Check the key, or ask the operator for a new one.")
        return caller

    async def _by_session(self, token: str, scope: Scope) -> Caller:
        caller = await self._service.sessions.caller_of(token)
        if caller is None:
            raise errors.wrong_key("The session has ended. Sign in again with an API key.")
        # A browser adds the cookie by itself to what another page on this host asks for, too.
        if scope["method"] not in _READING and header_of(scope, CONSOLE_HEADER.encode()) != "1":
            raise errors.no_console_header(f"{CONSOLE_HEADER}: 1")
        return caller


def serve_request(scope: Scope, request_id: str) -> None:
    """Note which request this one is, or is about, for the response, for its traces and for its logs."""
    state = scope["state"]
    state["request_id"] = request_id
    whom = WorkContext(request_id, tenant=state["caller"].tenant if "caller" in state else "")
    set_work_context(whom)
    trace.get_current_span().set_attributes(whom.attributes)


def key_of(scope: Scope) -> str:
    """Return the API key that a request brings, or an empty text."""
    scheme, _, key = header_of(scope, b"authorization").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def token_of(scope: Scope) -> str:
    """Return the session's token that a request brings, or an empty text."""
    found = _TOKEN.search(header_of(scope, b"cookie"))
    return found[1] if found else ""


def header_of(scope: Scope, name: bytes) -> str:
    """Return the first header of this (lower-case) name, or an empty text."""
    return optional_header(scope, name) or ""


def optional_header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of this (lower-case) name, or None."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None

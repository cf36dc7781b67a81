"""The outermost layer: a request id for all, and a key for all of /v1/.

Plain ASGI, since it lies on the way of every event of every stream. New routes below /v1/ are behind the
key by default.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.gateway.adapters.http.replies import error_reply
from penstock.gateway.adapters.http.service import Service
from penstock.gateway.domain import errors
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.ports import AccountsAway


class Edge:
    """Wraps the app; leaves `request_id`, `tenant` and `direct_send` in the scope's state.

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

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Read only now: a route may have found that the request is an earlier one.
                header = (b"x-request-id", state["request_id"].encode())
                message["headers"] = [*message["headers"], header]
            await send(message)

        state["direct_send"] = send
        try:
            if scope["path"].startswith("/v1/"):
                state["tenant"] = await self._tenant(scope)
        except ApiError as error:
            await error_reply(error)(scope, receive, send_with_id)
        else:
            await self._app(scope, receive, send_with_id)

    async def _tenant(self, scope: Scope) -> str:
        given = header_of(scope, b"authorization")
        scheme, _, key = given.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise errors.wrong_key("No API key given. Send it in the header 'Authorization: Bearer KEY'.")
        try:
            tenant = await self._service.access.tenant_of(key.strip())
        except AccountsAway as error:
            raise errors.not_ready([f"accounts: {error}"]) from error
        if tenant is None:
            raise errors.wrong_key("Incorrect API key. Check the key, or ask the operator for a new one.")
        return tenant


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

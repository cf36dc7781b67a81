"""HTTP as all services speak it to model servers."""

from typing import Any

import httpx2


class Transport(httpx2.AsyncHTTPTransport):
    """The library's transport, with one error made its own: a connection lost while it was made.

    anyio then asks a socket that is gone for its peer, and fails with an AttributeError (a server that is
    killed at that moment shows it). Nothing was sent, so it is a ConnectError like others.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return await super().handle_async_request(request)
        except AttributeError as error:
            if error.name != "getpeername":
                raise
            raise httpx2.ConnectError("the connection was lost while it was made", request=request) from error

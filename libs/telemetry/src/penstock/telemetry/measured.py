"""Metrics of the requests that a server answers, by OpenTelemetry's conventions for HTTP servers.

For a plain ASGI app: FastAPI has these of its own.
"""

import time
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.telemetry import names
from penstock.telemetry.asgi import METHODS
from penstock.telemetry.instruments import Attributes, histogram, watch
from penstock.telemetry.metric_catalog import HTTP_ACTIVE, HTTP_DURATION


class Measured:
    """Wraps an ASGI app: how long each request takes, to the last byte, and how many are in hand."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._duration = histogram(HTTP_DURATION)
        self._active: Counter[tuple[str, str]] = Counter()
        watch(HTTP_ACTIVE, lambda: [(count, _asked(*who)) for who, count in self._active.copy().items()])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        who = (scope["method"] if scope["method"] in METHODS else "_OTHER", scope["scheme"])
        began, status = time.perf_counter(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        about = dict(_asked(*who)) | {names.HTTP_VERSION: scope["http_version"]}
        self._active[who] += 1
        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            about[names.ERROR_TYPE] = type(error).__name__
            raise
        finally:
            self._active[who] -= 1
            if route := getattr(scope.get("route"), "path", ""):
                about[names.HTTP_ROUTE] = route
            if status:
                about[names.HTTP_STATUS] = status
            if status >= 500:
                about.setdefault(names.ERROR_TYPE, str(status))
            self._duration.record(time.perf_counter() - began, about)


def _asked(method: str, scheme: str) -> Attributes:
    return {names.HTTP_METHOD: method, names.URL_SCHEME: scheme}

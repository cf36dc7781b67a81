"""Who may call the views: a caller with the observer's key, whose headers then say for whom it calls."""

from hmac import compare_digest

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.observer.domain.errors import ApiError

SETTING = "PENSTOCK_OBSERVER_KEY"


class RequireKey:
    """Refuses requests without the key. OTLP comes to the same port, from processes that have none."""

    def __init__(self, app: ASGIApp, key: SecretStr | None) -> None:
        self._app = app
        self._expected = f"Bearer {key.get_secret_value()}".encode() if key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._check(Headers(scope=scope).get("authorization", ""))
        await self._app(scope, receive, send)

    def _check(self, given: str) -> None:
        if self._expected is None:
            raise ApiError(
                503, "not_configured", f"The observer has no key: set {SETTING} for it and for the gateway."
            )
        # Not 401: the gateway passes the response on, and a 401 would end the user's session at the console.
        if not given:
            raise ApiError(
                403,
                "observer_key_missing",
                f"The caller of the observer sent no key: set {SETTING} in the gateway to the observer's."
                " A gateway of a release before 0.3 cannot send it: upgrade it.",
            )
        if not compare_digest(given.encode("latin-1"), self._expected):
            raise ApiError(
                403,
                "observer_key_invalid",
                f"The caller of the observer sent another key: set the same {SETTING} in the gateway"
                " and the observer.",
            )

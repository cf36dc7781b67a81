"""Who calls, and what for: headers and parameters, checked."""

from typing import Annotated, TypeVar, cast

import msgspec
from msgspec import Meta
from starlette.requests import Request

from penstock.observer.adapters.http.body import TooLarge, Unreadable, read_body
from penstock.observer.domain.board import Wish
from penstock.observer.domain.errors import ApiError, invalid
from penstock.observer.domain.requests import STATES
from penstock.observer.domain.usage import DAY_MS, HOUR_MS
from penstock.observer.domain.viewer import Viewer
from penstock.observer.handler.letters import LetterWish

TENANT = "x-penstock-tenant"
OPERATOR = "penstock-operator"
MAX_LIMIT = 500
MAX_SPAN_MS = 90 * DAY_MS
_MAX_BODY = 4096
_MAX_TEXT = 256
_BUCKETS = {"hour": HOUR_MS, "day": DAY_MS}
Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT)]
Ms = Annotated[int, Meta(ge=0, le=1 << 48)]
T = TypeVar("T")


class Replay(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a replay."""

    force: bool = False


class UsageWish(msgspec.Struct):
    """Which usage somebody wants to see: from when, until when, in buckets of so many milliseconds."""

    since_ms: int
    until_ms: int
    bucket_ms: int


def viewer_of(request: Request) -> Viewer:
    """Return who looks, as the gateway says. Raises ApiError 401 if it does not."""
    operator = request.headers.get(OPERATOR) == "1"
    tenant = request.headers.get(TENANT, "")
    if not tenant and not operator:
        raise ApiError(401, "no_tenant", f"Only the gateway may call; header {TENANT} is missing.")
    return Viewer(tenant, operator, _text(request, "tenant") if operator else "")


def requests_wish(request: Request) -> Wish:
    """Return which requests are wanted. Raises ApiError 400."""
    given = _text(request, "state")
    state = next((state for state in STATES if state == given), None)
    if given and state is None:
        raise invalid("state", f"state is one of {', '.join(STATES)}.")
    return Wish(
        _number(request, "limit", 100, Limit),
        _text(request, "before"),
        state,
        _text(request, "q"),
    )


def letters_wish(request: Request, viewer: Viewer) -> LetterWish:
    """Return which dead letters are wanted. Raises ApiError 400."""
    return LetterWish(
        _text(request, "topic"),
        _text(request, "error"),
        viewer.only,
        _number(request, "limit", 100, Limit),
        _text(request, "before"),
    )


def usage_wish(request: Request, now_ms: int) -> UsageWish:
    """Return which usage is wanted; without times that of the last 24 hours. Raises ApiError 400."""
    until = _number(request, "to", now_ms, Ms)
    since = _number(request, "from", max(0, until - DAY_MS), Ms)
    bucket = request.query_params.get("bucket", "hour")
    if bucket not in _BUCKETS:
        raise invalid("bucket", "bucket is hour or day.")
    if not 0 <= until - since <= MAX_SPAN_MS:
        raise invalid("from", f"from lies before to, at most {MAX_SPAN_MS // DAY_MS} days.")
    return UsageWish(since, until, _BUCKETS[bucket])


def flag(request: Request, name: str, *, default: bool) -> bool:
    """Return a parameter that is 1 or 0."""
    return request.query_params.get(name, "1" if default else "0") == "1"


def named(request: Request, name: str) -> str:
    """Return a part of the path."""
    return cast(str, request.path_params[name])


def offset_of(request: Request) -> int:
    """Return the offset in the path. Raises ApiError 400."""
    return _parsed("offset", named(request, "offset"), Ms)


async def replay_of(request: Request) -> Replay:
    """Return the body of a replay; none is the default. Raises ApiError 400, 413."""
    try:
        body = await read_body(request, _MAX_BODY)
        return msgspec.json.decode(body, type=Replay) if body.strip() else Replay()
    except TooLarge:
        raise ApiError(413, "body_too_large", f"A body has at most {_MAX_BODY} bytes.") from None
    except (Unreadable, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "invalid_body", f"The body is not usable: {error}") from None


def _text(request: Request, name: str) -> str:
    text = request.query_params.get(name, "")
    if len(text) > _MAX_TEXT:
        raise invalid(name, f"{name} has at most {_MAX_TEXT} characters.")
    return text


def _number(request: Request, name: str, default: int, kind: object) -> int:
    given = request.query_params.get(name)
    return default if given is None else _parsed(name, given, kind)


def _parsed(name: str, text: str, kind: object) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise invalid(name, f"{name} is not a whole number.")
    try:
        return cast(int, msgspec.convert(int(text), kind))
    except msgspec.ValidationError as error:
        raise invalid(name, f"{name}: {error}") from None

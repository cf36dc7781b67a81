"""``penstock trace``: where one request was when, from the observer of the stack that runs here."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
from rich.console import Console
from rich.text import Text

from penstock.devstack.errors import DevstackError
from penstock.devstack.plain import plain
from penstock.devstack.waterfall import Trace, told, waterfall

LATE_S = 4.0
"""Spans come this long after what they tell of: processes export them every three seconds."""
_POLL_S = 0.3
_TIMEOUT_S = 10.0
_OPERATOR = {"penstock-operator": "1"}


class Request(msgspec.Struct):
    """What the observer says of a request; times in Unix milliseconds."""

    id: str
    tenant: str
    created_ms: float
    state: str
    model: str = ""
    first_text_ms: float | None = None
    ended_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: dict[str, Any] | None = None


class View(msgspec.Struct):
    """The part of the observer's answer that is shown."""

    request: Request
    traces: list[Trace]


async def trace_aloud(console: Console, observer: str, key: str, request_id: str, *, as_json: bool) -> None:
    """Prints the waterfall of a request, or all that is known of it as JSON. DevstackError: there is none."""
    try:
        async with httpx2.AsyncClient(
            base_url=observer,
            headers={**_OPERATOR, "authorization": f"Bearer {key}"},
            timeout=_TIMEOUT_S,
            trust_env=False,
        ) as client:
            body = await _fetched(client, request_id)
            body = await _with_late_spans(client, request_id, body, lambda: time.time_ns() / 1e6)
        view = msgspec.json.decode(body, type=View)
    except msgspec.DecodeError as error:
        raise DevstackError(f"{observer} does not answer like Penstock's observer: {error}") from error
    if as_json:
        sys.stdout.write(msgspec.json.format(body, indent=2).decode() + "\n")
        return
    console.print(_summary(view.request))
    for trace in view.traces:
        console.print(Text(f"\ntrace {trace.trace_id}", style="dim"))
        console.print(waterfall(trace, console.width))
    if not view.traces:
        console.print(
            "There are no spans of it: it was not sampled, is too old, or its services export none."
        )


async def _with_late_spans(
    client: httpx2.AsyncClient, request_id: str, body: bytes, now_ms: Callable[[], float]
) -> bytes:
    """The answer once more until nothing of the request can be under way any more, for some seconds."""
    until = now_ms() + LATE_S * 1000
    while now_ms() < until and _is_fresh(msgspec.json.decode(body, type=View), now_ms()):
        await asyncio.sleep(_POLL_S)
        newer = msgspec.json.decode(await _fetched(client, request_id, records="0"))
        # Its records do not change what there is to see, and are long to read.
        body = msgspec.json.encode(
            msgspec.json.decode(body) | {name: newer[name] for name in ("request", "traces")}
        )
    return body


def _is_fresh(view: View, now_ms: float) -> bool:
    """True while spans may still come: the request runs, or what is known of it is only a moment old."""
    ends = [span.end_ms for trace in view.traces for span in trace.spans]
    newest = max([*ends, view.request.ended_ms or now_ms])
    return now_ms - newest < LATE_S * 1000


async def _fetched(client: httpx2.AsyncClient, request_id: str, **parameters: str) -> bytes:
    try:
        response = await client.get(f"/console/api/requests/{quote(request_id, safe='')}", params=parameters)
    except httpx2.HTTPError as error:
        raise DevstackError(
            f"The observer does not answer ({type(error).__name__}): see `penstock status`"
        ) from error
    if response.status_code == 404:
        raise DevstackError(f"There is no request {plain(request_id)!r}, or it is no longer kept")
    if response.status_code != 200:
        reason = f": {message}" if (message := _message(response.content)) else ""
        raise DevstackError(
            f"The observer answered HTTP {response.status_code}{reason} (see `penstock logs observer`)"
        )
    return response.content


class _Failure(msgspec.Struct):
    error: dict[str, Any]


def _message(body: bytes) -> str:
    """What an error says; empty if it is not one of the observer's."""
    try:
        return plain(str(msgspec.json.decode(body, type=_Failure).error.get("message", "")))
    except msgspec.DecodeError:
        return ""


def _summary(request: Request) -> Text:
    """One or two lines: what it was, how it ended, how long that took."""
    text = Text(plain(request.id), style="bold")
    style = {"completed": "green", "failed": "red"}.get(request.state, "yellow")
    text.append(f"  {plain(request.state)}", style=style)
    facts = [plain(request.model), f"tenant {plain(request.tenant)}"]
    if request.completion_tokens is not None:
        facts.append(f"{request.prompt_tokens or 0} + {request.completion_tokens} tokens")
    if request.first_text_ms is not None:
        facts.append(f"first text after {told(request.first_text_ms - request.created_ms)}")
    if request.ended_ms is not None:
        facts.append(f"ended after {told(request.ended_ms - request.created_ms)}")
    text.append("\n" + ", ".join(fact for fact in facts if fact), style="not bold dim")
    if request.error:
        text.append(
            f"\n{plain(str(request.error.get('code')))}: {plain(str(request.error.get('message')))}",
            style="red",
        )
    return text

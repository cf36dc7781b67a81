"""The waterfall of a request: its lines, and what the command does while spans are late or missing."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from penstock.devstack import trace as trace_command
from penstock.devstack.errors import DevstackError
from penstock.devstack.trace import trace_aloud
from penstock.devstack.waterfall import Span, SpanEvent, Trace, bar, in_order, told, waterfall

ID = "01a20e82-ddc0-7007-89b8-c33227e10006"


def span(name: str, start: float, end: float, parent: str | None = None, **more: Any) -> Span:
    return Span(span_id=name, name=name, service="s", start_ms=start, end_ms=end, parent_id=parent, **more)


def printed(*spans: Span, width: int = 200) -> list[str]:
    console = Console(file=StringIO(), width=width, no_color=True)
    console.print(waterfall(Trace("t", list(spans)), width))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_parents_come_before_their_children_which_are_ordered_by_their_start() -> None:
    spans = [
        span("late", 5, 6, "root"),
        span("root", 0, 9),
        span("early", 1, 2, "root"),
        span("deep", 5, 6, "late"),
    ]
    spans.append(span("lost", 3, 4, "unknown"))
    order = [(depth, one.name) for depth, one in in_order(spans)]
    assert order == [(0, "root"), (1, "early"), (1, "late"), (2, "deep"), (0, "lost")]


def test_spans_in_a_circle_end_nowhere() -> None:
    assert [
        one.name for _, one in in_order([span("a", 0, 1, "b"), span("b", 0, 1, "a"), span("c", 0, 1, "c")])
    ] == ["c"]


def test_waits_are_bars_of_their_own_before_what_waited_and_look_other_than_work() -> None:
    lines = printed(
        span("process chat.requests", 20, 100, attributes={"penstock.wait_ms": 20}),
        span("wait document", 50, 100),
    )
    assert [re.split(r"\s{2,}", line)[1] for line in lines[1:]] == [
        "wait chat.requests",
        "process chat.requests",
        "wait document",
    ]
    assert [re.sub(r"[^░█]", "", line) for line in lines[1:]] == ["░" * 12, "█" * 48, "░" * 30]


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        (0, 100, "█" * 10),
        (90, 100, " " * 9 + "█"),
        (50, 50.01, " " * 5 + "█"),
        (100, 100, " " * 9 + "█"),
        (0, 1, "█"),
    ],
)
def test_a_bar_lies_where_its_time_does(start: float, end: float, shown: str) -> None:
    assert bar(span("work", start, end), 0, 100, 10) == shown


def test_errors_retries_and_tokens_are_noted() -> None:
    events = [
        SpanEvent("retry", 10, {"error.type": "Timeout"}),
        SpanEvent("retry", 20, {"error.type": "Refused\x1b[31m"}),
        SpanEvent("first_token", 120.0),
        SpanEvent("slot_taken", 5.0),
    ]
    _, line = printed(span("chat", 0, 200, error="backend_unavailable", events=events))
    assert "error: backend_unavailable" in line
    assert "2 retries (Refused[31m)" in line
    assert "first token at 120 ms" in line
    assert "slot taken at 5.0 ms" in line


def test_durations_for_people() -> None:
    assert [told(ms) for ms in (0.04, 9.94, 17.4, 999, 5318)] == [
        "0.0 ms",
        "9.9 ms",
        "17 ms",
        "999 ms",
        "5.32 s",
    ]


@dataclass
class Observer:
    """Answers with what comes next of `answers`, and with the last one for ever."""

    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    url: str = ""


@pytest.fixture
def observer() -> Iterator[Observer]:
    observer = Observer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            observer.asked.append((self.path, self.headers["penstock-operator"]))
            observer.keys.add(self.headers["authorization"])
            status, body = observer.answers.pop(0) if len(observer.answers) > 1 else observer.answers[0]
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    observer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield observer
    server.shutdown()
    thread.join()
    server.server_close()


def view(
    *names: str, ended_ms: float | None = 2_000, state: str = "completed", **more: Any
) -> dict[str, Any]:
    spans = [
        {
            "span_id": name,
            "name": name,
            "service": "gateway",
            "start_ms": 1_000.0,
            "end_ms": 2_000.0,
            "parent_id": None,
        }
        for name in names
    ]
    request = {
        "id": ID,
        "tenant": "acme",
        "created_ms": 1_000,
        "state": state,
        "ended_ms": ended_ms,
        "model": "m",
    }
    return {
        "request": request | more,
        "traces": [{"trace_id": "ab", "spans": spans}] if spans else [],
        "records": [1],
    }


async def shown(observer: Observer, **options: Any) -> str:
    console = Console(file=StringIO(), width=200, no_color=True)
    await trace_aloud(console, observer.url, "key", ID, **({"as_json": False} | options))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


async def test_a_request_that_is_over_is_asked_for_once(observer: Observer) -> None:
    more = {"first_text_ms": 1_250, "prompt_tokens": 7, "completion_tokens": 5}
    observer.answers = [(200, view("POST /v1/chat/completions", **more))]
    text = await shown(observer)
    assert observer.asked == [(f"/console/api/requests/{ID}", "1")]
    assert observer.keys == {"Bearer key"}
    assert text.startswith(
        f"{ID}  completed\nm, tenant acme, 7 + 5 tokens, first text after 250 ms, ended after 1.00 s"
    )
    assert "POST /v1/chat/completions" in text


async def test_late_spans_are_waited_for(observer: Observer) -> None:
    now = time.time_ns() / 1e6
    early, late = view("one", ended_ms=now), view("one", "two", ended_ms=now)
    observer.answers = [(200, early), (200, early), (200, late)]
    text = await shown(observer)
    assert "two" in text
    assert observer.asked[1][0].endswith("?records=0")


async def test_a_request_that_runs_is_shown_as_it_is_after_a_while(
    observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_command, "LATE_S", 0.5)
    observer.answers = [(200, view(ended_ms=None, state="running"))]
    text = await shown(observer)
    assert "running" in text
    assert "There are no spans of it" in text


async def test_a_failure_is_told_without_what_could_steer_a_terminal(observer: Observer) -> None:
    error = {"code": "too_long", "message": "It is \x1b[31mtoo long."}
    observer.answers = [(200, view("x", state="failed", error=error))]
    text = await shown(observer)
    assert "too_long: It is [31mtoo long." in text
    assert "\x1b" not in text


async def test_json_is_all_that_the_observer_says(
    observer: Observer, capsys: pytest.CaptureFixture[str]
) -> None:
    observer.answers = [(200, view("x"))]
    await shown(observer, as_json=True)
    assert json.loads(capsys.readouterr().out) == view("x")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "There is no request '01a20e82-"),
        (500, "The observer answered HTTP 500 (see"),
        (403, "The observer answered HTTP 403: it wants a key (see"),
        (200, "does not answer like Penstock's observer"),
    ],
)
async def test_what_is_wrong_is_one_line(observer: Observer, status: int, message: str) -> None:
    observer.answers = [(status, {"error": {"message": "it wants a key"}} if status == 403 else {})]
    with pytest.raises(DevstackError, match=re.escape(message)):
        await shown(observer)


async def test_ids_stay_what_they_are(observer: Observer) -> None:
    observer.answers = [(404, {})]
    with pytest.raises(DevstackError, match="There is no request"):
        await trace_aloud(Console(file=StringIO()), observer.url, "key", "../a b?c", as_json=False)
    assert observer.asked[0][0] == "/console/api/requests/..%2Fa%20b%3Fc"


async def test_an_observer_that_is_away(observer: Observer) -> None:
    observer.url = "http://127.0.0.1:9"
    with pytest.raises(DevstackError, match="The observer does not answer"):
        await shown(observer)

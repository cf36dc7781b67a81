"""Requests over HTTP: lists, one of them, streams of changes; who calls, and what cannot be asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from penstock.observer.handler import streams
from penstock.streaming.adapters.memory import MemoryBroker
from services.observer.tests.stand import (
    CONTENT,
    WITH_KEY,
    Console,
    Line,
    MemoryLog,
    serving,
    span,
    until,
    who,
)

API = "/console/api"


async def listed(console: Console, caller: str = "", **parameters: Any) -> tuple[list[str], str | None]:
    body = (await console.get("requests", caller, **parameters)).json()
    return [request["id"] for request in body["requests"]], body["next"]


async def test_a_request_as_the_console_reads_it(console: Console, line: Line) -> None:
    request_id = await line.whole(trace=f"00-{'ab' * 16}-{'cd' * 8}-01")
    [request] = (await console.get("requests", "acme")).json()["requests"]
    assert request.pop("created_ms") <= request.pop("first_text_ms") + 1
    assert request.pop("ended_ms")
    assert request == {
        "id": request_id,
        "tenant": "acme",
        "model": "m",
        "api_key": "psk-abc",
        "state": "completed",
        "stage": "done",
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "passages": 1,
        "epoch": 1,
        "error": None,
        "trace_id": "ab" * 16,
    }


async def test_lists_are_filtered_and_paged(console: Console, line: Line) -> None:
    ids = [await line.asked(request_id=line.new_id(1_700_000_000_000 + i)) for i in range(3)]
    other = await line.asked("globex")
    await line.failed(ids[1])
    assert await listed(console) == ([other, *ids[::-1]], None)
    assert await listed(console, tenant="acme", limit=2) == ([ids[2], ids[1]], ids[1])
    assert await listed(console, tenant="acme", before=ids[1]) == ([ids[0]], None)
    assert await listed(console, state="failed") == ([ids[1]], None)
    assert await listed(console, q=other[:20]) == ([other], None)
    assert await listed(console, "globex", tenant="acme") == ([other], None)  # not an operator's filter


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("requests?limit=0", "limit"),
        ("requests?limit=1001", "limit"),
        ("requests?limit=ten", "limit"),
        ("requests?state=gone", "state"),
        (f"requests?q={'x' * 300}", "q"),
        ("usage?bucket=minute", "bucket"),
        ("usage?from=5&to=4", "from"),
        ("usage?from=0&to=99999999999999", "from"),
        ("usage?to=-1", "to"),
    ],
)
async def test_what_cannot_be_asked(console: Console, path: str, param: str) -> None:
    done = await console.client.get(f"{API}/{path}", headers=who("acme"))
    assert (done.status_code, done.json()["error"]["param"]) == (400, param)


async def test_who_does_not_say_who_calls_gets_nothing(console: Console) -> None:
    for path in (
        "requests",
        "requests/stream",
        "requests/x",
        "pipeline",
        "pipeline/stream",
        "dead_letters",
        "usage",
    ):
        done = await console.client.get(f"{API}/{path}", headers=WITH_KEY | {"penstock-operator": "0"})
        assert (done.status_code, done.json()["error"]["code"]) == (401, "no_tenant")


async def test_tenants_see_nothing_of_the_installation(console: Console, line: Line) -> None:
    await line.bury("r", "acme")
    for method, path in (
        ("GET", "pipeline"),
        ("GET", "pipeline/stream"),
        ("GET", "dead_letters"),
        ("GET", "dead_letters/chat.requests/0"),
        ("POST", "dead_letters/chat.requests/0/replay"),
        ("DELETE", "dead_letters/chat.requests/0"),
    ):
        done = await console.client.request(method, f"{API}/{path}", headers=who("acme"))
        assert (done.status_code, done.json()["error"]["code"]) == (403, "operators_only")


async def test_what_there_is_not(console: Console) -> None:
    for path in (
        "requests/nonsense",
        "requests/01a20e82-ddc0-7007-89b8-c33227e10006",
        f"requests/{'x' * 300}",
    ):
        done = await console.get(path, "acme")
        assert (done.status_code, done.json()["error"]["code"]) == (404, "not_found")
    assert (await console.client.get("/nowhere")).json()["error"]["code"] == "unknown_url"


async def test_records_can_be_left_out(console: Console, line: Line) -> None:
    request_id = line.new_id()
    await console.spans(span(1, 1, request_id=request_id, tenant="acme"))
    body = (await console.get(f"requests/{request_id}", "acme", records=0)).json()
    assert (body["records"], len(body["traces"])) == ([], 1)


async def test_the_id_of_an_answer_names_its_request(console: Console, line: Line) -> None:
    request_id = await line.whole()
    await console.spans(span(1, 1, request_id=request_id, tenant="acme"))
    body = (await console.get(f"requests/chatcmpl-{request_id}", "acme")).json()
    assert (body["request"]["id"], len(body["traces"])) == (request_id, 1)
    assert body["records"]


async def test_without_spans_a_request_is_known_from_its_records_alone(console: Console, line: Line) -> None:
    request_id = await line.whole()
    body = (await console.get(f"requests/{request_id}", "acme", records=0)).json()
    assert (body["request"]["state"], body["traces"]) == ("completed", [])


async def test_nothing_that_users_wrote_is_in_any_answer(console: Console, line: Line) -> None:
    request_id = await line.whole()
    await console.spans(
        span(1, 1, request_id=request_id, tenant="acme", **{"gen_ai.input.messages": CONTENT})
    )
    for path in ("requests", f"requests/{request_id}", "pipeline", "usage", "dead_letters"):
        assert CONTENT not in (await console.get(path)).text


@asynccontextmanager
async def streamed(console: Console, path: str, caller: str = "") -> AsyncIterator[AsyncIterator[str]]:
    async with console.client.stream("GET", f"{API}/{path}", headers=who(caller)) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        yield response.aiter_lines()


async def events(lines: AsyncIterator[str], enough: Any) -> list[Any]:
    found = []
    async with asyncio.timeout(30):
        async for text in lines:
            assert text == "" or text.startswith((":", "data: "))
            if text.startswith("data: "):
                found.append(json.loads(text.removeprefix("data: ")))
            if enough(found):
                return found
    raise AssertionError("the stream ended")


async def test_changes_are_streamed_to_those_who_may_see_them(console: Console, line: Line) -> None:
    async with (
        streamed(console, "requests/stream", "acme") as mine,
        streamed(console, "requests/stream") as all_of_it,
    ):
        theirs = await line.whole("globex")
        request_id = await line.whole("acme")
        seen = await events(mine, lambda found: found and found[-1]["state"] == "completed")
        assert {one["id"] for one in seen} == {request_id}
        both = await events(all_of_it, lambda found: sum(one["state"] == "completed" for one in found) >= 2)
        assert {one["id"] for one in both} == {request_id, theirs}


async def test_many_changes_of_a_request_are_few_events(console: Console, line: Line) -> None:
    async with streamed(console, "requests/stream") as lines:
        await asyncio.sleep(0)
        request_id = await line.whole()
        seen = await events(lines, lambda found: found and found[-1]["state"] == "completed")
    assert all(one["id"] == request_id for one in seen)
    assert len(seen) <= 6


async def test_the_pipeline_is_streamed(console: Console) -> None:
    async with streamed(console, "pipeline/stream") as lines:
        first, second = (await events(lines, lambda found: len(found) == 2))[:2]
    assert first["at_ms"] < second["at_ms"]


async def test_a_quiet_stream_says_that_it_lives(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams.Changes.watch, "__defaults__", (0.05,))
    async with streamed(console, "requests/stream", "acme") as lines, asyncio.timeout(30):
        comments = 0
        async for text in lines:
            comments += text.startswith(":")
            if comments == 3:
                return


async def test_streams_are_bounded_and_a_place_becomes_free(
    log: MemoryLog, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams.Places.__init__, "__defaults__", (2,))
    async with serving(log, settings) as console:
        async with streamed(console, "requests/stream"), streamed(console, "pipeline/stream"):
            refused = await console.get("requests/stream")
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "busy")

        async def free() -> bool:
            async with console.client.stream("GET", f"{API}/requests/stream", headers=who("")) as again:
                return again.status_code == 200

        assert await until(free)


async def test_a_client_that_takes_nothing_is_let_go(
    console: Console, line: Line, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("penstock.observer.adapters.http.events.SLOW_SECONDS", 0.2)
    host, port = console.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1)
    headers = "".join(f"{name}: {value}\r\n" for name, value in who("").items())
    writer.write(f"GET {API}/requests/stream HTTP/1.1\r\nhost: x\r\n{headers}\r\n".encode())
    await writer.drain()
    error = "x" * 200_000  # many of these fill what the kernel holds for a client

    async def let_go() -> bool:
        for _ in range(5):
            await line.whole(key=error)
        return "slow_client_let_go" in capsys.readouterr().out

    await until(let_go)
    writer.close()
    assert reader is not None
    assert (await console.client.get("/livez")).status_code == 200


async def test_the_end_of_the_process_ends_streams(log: MemoryLog, settings: Any) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        async with serving(log, settings) as console:
            response = await client.send(
                client.build_request("GET", f"{console.url}{API}/requests/stream", headers=who("")),
                stream=True,
            )
            assert response.status_code == 200
        async with asyncio.timeout(30):
            assert b"still here" in await response.aread()


async def test_metrics_and_health_are_told(console: Console, broker: MemoryBroker) -> None:
    assert broker is not None

    async def ready() -> bool:
        return (await console.client.get("/readyz")).status_code == 200

    assert await until(ready)
    assert (await console.client.get("/livez")).json() == {"live": True}
    assert (await console.client.get("/metrics")).status_code == 200

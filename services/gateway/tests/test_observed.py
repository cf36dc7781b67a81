"""The console's data: passed on to the observer as one tenant, operator or not, and back while it comes."""

import asyncio
import socket
from typing import Any

import httpx2
import pytest
from starlette.types import Receive, Send

from services.gateway.tests.upstream import Seen, Upstream, body, start

API = "/console/api"
FOR_ALL = [
    ("GET", f"{API}/requests"),
    ("GET", f"{API}/requests/stream"),
    ("GET", f"{API}/requests/019ab697-e87b-7005-8f3c-5d2a9b1c4e6f"),
    ("GET", f"{API}/usage"),
]
FOR_OPERATORS = [
    ("GET", f"{API}/pipeline"),
    ("GET", f"{API}/pipeline/stream"),
    ("GET", f"{API}/dead_letters"),
    ("GET", f"{API}/dead_letters/chat.requests.dlq/7"),
    ("DELETE", f"{API}/dead_letters/chat.requests.dlq/7"),
    ("POST", f"{API}/dead_letters/chat.requests.dlq/7/replay"),
]


@pytest.fixture
async def front(start_stand: Any, upstream: Upstream) -> Any:
    return await start_stand(observer=upstream.url, observer_key="key-of-the-observer")


async def call(stand: Any, method: str, path: str, key: str = "", **more: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key or stand.key}", **more.pop("headers", {})}
    response = await stand.client.request(method, stand.url + path, headers=headers, timeout=20, **more)
    assert isinstance(response, httpx2.Response)
    return response


def code(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_each_reaches_its_own_place(front: Any, upstream: Upstream) -> None:
    query = "?limit=2&before=a%2Fb&tenant=acme"
    for method, path in FOR_ALL + FOR_OPERATORS:
        content = b'{"force":true}' if method == "POST" else b""
        response = await call(front, method, path + query, content=content)
        assert (response.status_code, response.json()) == (200, {"size": len(content)})
        seen = upstream.seen[-1]
        assert (seen.method, seen.target, seen.body) == (method, f"{path}{query}".encode(), content)
        assert seen.all_of("x-penstock-tenant") == ["default"]
        assert seen.all_of("penstock-operator") == ["1"]
        assert response.headers["cache-control"] == "no-store"
    assert len(upstream.seen) == len(FOR_ALL + FOR_OPERATORS)


async def test_the_gateway_says_who_asks_and_nobody_else(front: Any, upstream: Upstream) -> None:
    key = await front.new_key("acme")
    spoofed = {
        "x-penstock-tenant": "default",
        "penstock-operator": "1",
        "x-request-id": "mine",
        "cookie": "penstock_session=x",
        "connection": "penstock-operator",
        "accept": "text/event-stream",
    }
    for path in (f"{API}/requests", f"{API}/requests/stream"):
        await call(front, "GET", path, key, headers=spoofed)
        seen = upstream.seen[-1]
        assert seen.all_of("authorization") == ["Bearer key-of-the-observer"]
        assert seen.all_of("x-penstock-tenant") == ["acme"]
        assert seen.all_of("penstock-operator") == ["0"]
        assert seen.all_of("accept") == ["text/event-stream"]
        told = {name for name, _ in seen.headers}
        assert told <= {
            "host",
            "accept",
            "x-penstock-tenant",
            "penstock-operator",
            "x-request-id",
            "connection",
            "authorization",
        }
        assert seen.all_of("x-request-id") != ["mine"]


async def test_a_header_in_other_letters_spoofs_nothing(front: Any, upstream: Upstream) -> None:
    key = await front.new_key("acme")
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    writer.write(
        f"GET {API}/usage HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nPENSTOCK-OPERATOR: 1\r\n"
        "penstock_operator: 1\r\nX-Penstock-Tenant: default\r\nconnection: close\r\n\r\n".encode()
    )
    assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 200")
    [seen] = upstream.seen
    assert [pair for pair in seen.headers if "operator" in pair[0]] == [("penstock-operator", "0")]
    assert [pair for pair in seen.headers if "tenant" in pair[0]] == [("x-penstock-tenant", "acme")]
    writer.close()


async def test_operators_only(front: Any, upstream: Upstream) -> None:
    key, operators = await front.new_key("acme"), await front.new_key("acme", operator=True)
    for method, path in FOR_OPERATORS:
        assert code(await call(front, method, path, key)) == (403, "operators_only")
    assert upstream.seen == []
    for method, path in FOR_OPERATORS:
        assert (await call(front, method, path, operators)).status_code == 200
    assert {tuple(seen.all_of("x-penstock-tenant")) for seen in upstream.seen} == {("acme",)}


async def test_a_session_is_as_good_as_its_key(front: Any, upstream: Upstream) -> None:
    key = await front.new_key("acme")
    async with httpx2.AsyncClient(base_url=front.url, trust_env=False, timeout=20) as browser:
        assert (await browser.post("/console/session", json={"key": key})).status_code == 204
        assert (await browser.get(f"{API}/requests")).status_code == 200
        assert code(await browser.get(f"{API}/pipeline")) == (403, "operators_only")
    [seen] = upstream.seen
    assert seen.all_of("x-penstock-tenant") == ["acme"]
    assert not seen.all_of("cookie")
    assert key not in str(seen.headers)


async def test_without_a_key_nothing_is_passed_on(front: Any, upstream: Upstream) -> None:
    for method, path in (*FOR_ALL, *FOR_OPERATORS, ("GET", f"{API}/nothing")):
        response = await front.client.request(method, front.url + path)
        assert code(response) == (401, "invalid_api_key")
    assert upstream.seen == []


async def test_an_installation_without_an_observer(stand: Any) -> None:
    for method, path in FOR_ALL + FOR_OPERATORS:
        response = await call(stand, method, path)
        assert code(response) == (503, "not_configured")
        assert "PENSTOCK_OBSERVER" in response.json()["error"]["message"]


async def test_an_observer_that_is_away(start_stand: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        front = await start_stand(observer=f"http://127.0.0.1:{probe.getsockname()[1]}")
    response = await call(front, "GET", f"{API}/requests")
    assert code(response) == (503, "not_ready")
    assert "observer" in response.json()["error"]["message"]
    assert (await front.client.get(f"{front.url}/readyz")).status_code == 200  # it is on the way of no answer


ELSEWHERE = (
    "/requests/..",
    "/requests/%2e%2e",
    "/requests/..%2fpipeline",
    "/requests/a%2Fb",
    "/requests/a%3Ftenant=x",
    "/dead_letters/t/..",
    "/dead_letters/t%2F7/8",
    "//pipeline",
    "/%70ipeline/",
    "/internal",
    "/pipeline/..%2frequests",
)


async def test_no_path_leads_elsewhere(front: Any, upstream: Upstream) -> None:
    for path in ELSEWHERE:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        head = f"GET {API}{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {front.key}\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 20)
        assert answer.split(b" ")[1] in (b"404", b"405"), path
        writer.close()
    assert upstream.seen == []


async def test_the_way_of_letters_is_no_way_around_the_rule(front: Any, upstream: Upstream) -> None:
    key = await front.new_key("acme")
    for path in ("/console/api/%70ipeline", "/console/%61pi/pipeline", "/console/api/dead%5Fletters"):
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        for auth in (f"authorization: Bearer {key}\r\n", ""):
            writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n{auth}\r\n".encode())
            head = await asyncio.wait_for(reader.readuntil(b"}}"), 20)
            assert head.split(b" ")[1] in ((b"403", b"404") if auth else (b"401",))
        writer.close()
    assert upstream.seen == []


class Events:
    """Answers with events, each as soon as it is `told`, until the client or the test has enough."""

    def __init__(self, upstream: Upstream) -> None:
        self.next: asyncio.Queue[bytes] = asyncio.Queue()
        self.gone = asyncio.Event()
        upstream.answer = self._answer

    async def _answer(self, seen: Seen, receive: Receive, send: Send) -> None:
        await seen.read(receive)
        await send(start(content_type="text/event-stream", set_cookie="a=b"))
        watching = asyncio.create_task(self._watch(receive))
        while not self.gone.is_set():
            getting = asyncio.create_task(self.next.get())
            await asyncio.wait([getting, watching], return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                break
            await send(body(getting.result(), more=True))

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        self.gone.set()


async def test_events_flow_through_one_by_one(front: Any, upstream: Upstream) -> None:
    events = Events(upstream)
    async with front.client.stream(
        "GET", f"{front.url}{API}/requests/stream", headers=front.auth
    ) as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert "set-cookie" not in response.headers
        parts = response.aiter_raw()
        for n in range(3):  # there is no more before this one was read
            events.next.put_nowait(b"data: %d\n\n" % n)
            assert await asyncio.wait_for(anext(parts), 20) == b"data: %d\n\n" % n
    await asyncio.wait_for(events.gone.wait(), 20)
    await front.until(lambda: front.gateway.service.console_streams.used == 0)


async def test_open_consoles_take_no_requests_place(start_stand: Any, upstream: Upstream) -> None:
    Events(upstream)
    front = await start_stand(observer=upstream.url, max_open_requests=1, max_console_requests=1)
    url = f"{front.url}{API}/pipeline/stream"
    async with front.client.stream("GET", url, headers=front.auth) as response:
        assert response.status_code == 200
        assert code(await call(front, "GET", f"{API}/requests/stream")) == (429, "rate_limit_exceeded")
        asking = asyncio.create_task(front.ask())
        cause = await front.answer("yes")
        assert (await asking).headers["x-request-id"] == cause.subject
        rendered = await call(front, "POST", f"{API}/markdown", json={"text": "a"})
        assert rendered.status_code == 200
    await front.until(lambda: front.gateway.service.console_streams.used == 0)


async def test_the_console_is_there_when_the_gateway_is_full(start_stand: Any, upstream: Upstream) -> None:
    front = await start_stand(observer=upstream.url, max_open_requests=1)
    asking = asyncio.create_task(front.ask())
    await front.question()
    assert (await front.ask()).status_code == 429
    assert (await call(front, "GET", f"{API}/requests")).status_code == 200
    asking.cancel()


async def test_a_gateway_that_stops_lets_consoles_go(start_stand: Any, upstream: Upstream) -> None:
    events = Events(upstream)
    front = await start_stand(observer=upstream.url, drain_s=60)
    url = f"{front.url}{API}/requests/stream"
    async with asyncio.timeout(30), front.client.stream("GET", url, headers=front.auth) as response:
        events.next.put_nowait(b"data: 1\n\n")
        parts = response.aiter_raw()
        assert await anext(parts) == b"data: 1\n\n"
        front.stop.set()
        assert [part async for part in parts] == []  # a proper end, long before the drain is over
    await asyncio.wait_for(events.gone.wait(), 20)


async def test_an_observer_that_is_killed(front: Any, upstream: Upstream) -> None:
    events = Events(upstream)
    async with front.client.stream(
        "GET", f"{front.url}{API}/requests/stream", headers=front.auth
    ) as response:
        events.next.put_nowait(b"data: 1\n\n")
        parts = response.aiter_raw()
        assert await anext(parts) == b"data: 1\n\n"
        upstream.kill()
        with pytest.raises(httpx2.RemoteProtocolError):
            await anext(parts)
    await front.until(lambda: front.gateway.service.console_streams.used == 0)


async def test_errors_of_the_observer_are_passed_back(front: Any, upstream: Upstream) -> None:
    async def answer(seen: Seen, receive: Receive, send: Send) -> None:
        await seen.read(receive)
        await send(start(409, content_type="application/json"))
        await send(body(b'{"error":{}}'))

    upstream.answer = answer
    response = await call(front, "POST", f"{API}/dead_letters/t.dlq/1/replay", content=b"{}")
    assert (response.status_code, response.content) == (409, b'{"error":{}}')


async def test_the_api_document_leaves_the_console_out(stand: Any) -> None:
    paths = (await stand.client.get(f"{stand.url}/openapi.json")).json()["paths"]
    assert not [path for path in paths if path == "/" or path.startswith("/console")]

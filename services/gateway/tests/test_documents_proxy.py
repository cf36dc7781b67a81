"""Files and vector stores: passed on to a real server behind the gateway, in streams, as one tenant."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.types import Receive, Send

from penstock.gateway.domain.caller import Caller
from penstock.gateway.main import openapi
from services.gateway.tests.upstream import Seen, Upstream, body, echo, start

MIB = 1 << 20
TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"


@pytest.fixture
async def front(start_stand: Any, upstream: Upstream) -> Any:
    return await start_stand(ingestion=upstream.url)


async def call(stand: Any, method: str, path: str, headers: Any = (), **more: Any) -> Any:
    return await stand.client.request(
        method, f"{stand.url}{path}", headers={**stand.auth, **dict(headers)}, timeout=20, **more
    )


def code(response: Any) -> tuple[int, str]:
    assert response.headers["x-request-id"]
    return response.status_code, response.json()["error"]["code"]


async def raw(stand: Any, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection of our own and send the head of a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(f"{head}\r\nhost: x\r\nauthorization: Bearer {stand.key}\r\n".encode())
    return reader, writer


def operations() -> list[tuple[str, str]]:
    paths: dict[str, Any] = openapi()["paths"]  # type: ignore[assignment]
    return [
        (method.upper(), path)
        for path, item in paths.items()
        for method in item
        if path.startswith(("/v1/files", "/v1/vector_stores"))
    ]


def test_the_document_names_every_operation() -> None:
    found = {path: {m for m, p in operations() if p == path} for _, path in operations()}
    store = "/v1/vector_stores/{vector_store_id}"
    assert found == {
        "/v1/files": {"POST", "GET"},
        "/v1/files/{file_id}": {"GET", "DELETE"},
        "/v1/files/{file_id}/content": {"GET"},
        "/v1/vector_stores": {"POST", "GET"},
        store: {"GET", "POST", "DELETE"},
        f"{store}/search": {"POST"},
        f"{store}/files": {"POST", "GET"},
        f"{store}/files/{{file_id}}": {"GET", "POST", "DELETE"},
        f"{store}/files/{{file_id}}/content": {"GET"},
        f"{store}/file_batches": {"POST"},
        f"{store}/file_batches/{{batch_id}}": {"GET"},
        f"{store}/file_batches/{{batch_id}}/cancel": {"POST"},
        f"{store}/file_batches/{{batch_id}}/files": {"GET"},
    }


async def test_every_operation_reaches_its_own_place(front: Any, upstream: Upstream) -> None:
    for method, path in operations():
        real = (
            path.replace("{file_id}", "file-%41")
            .replace("{vector_store_id}", "vs_1")
            .replace("{batch_id}", "b")
        )
        response = await call(front, method, f"{real}?limit=2&after=a%2Fb")
        assert (response.status_code, response.json()) == (200, {"size": 0})
        last = upstream.seen[-1]
        assert (last.method, last.target) == (method, f"{real}?limit=2&after=a%2Fb".encode())


async def test_the_gateway_says_who_asks_and_nobody_else(front: Any, upstream: Upstream) -> None:
    spoofed = {
        "x-penstock-tenant": "victim",
        "x-request-id": "mine",
        "traceparent": TRACE,
        "cookie": "a=b",
        "x-forwarded-for": "10.0.0.1",
        "forwarded": "for=10.0.0.1",
        "accept": "application/json",
        "range": "bytes=0-1",
        "idempotency-key": "k",
        "connection": "x-penstock-tenant, keep-alive",
    }
    response = await call(front, "GET", "/v1/files", spoofed)
    [seen] = upstream.seen
    assert seen.all_of("x-penstock-tenant") == ["default"]
    assert seen.all_of("x-request-id") == [response.headers["x-request-id"]] != ["mine"]
    assert seen.all_of("authorization") == []
    [trace] = seen.all_of("traceparent")
    assert trace.split("-")[1] == "ab" * 16
    assert (seen.all_of("accept"), seen.all_of("range")) == (["application/json"], ["bytes=0-1"])
    assert seen.all_of("idempotency-key") == ["k"]
    named = {name for name, _ in seen.headers}
    assert named <= {
        "host",
        "accept",
        "range",
        "idempotency-key",
        "x-penstock-tenant",
        "x-request-id",
        "traceparent",
        "connection",
    }


async def test_a_header_sent_twice_spoofs_nothing(front: Any, upstream: Upstream) -> None:
    reader, writer = await raw(front, "GET /v1/files HTTP/1.1")
    writer.write(
        b"X-PENSTOCK-TENANT: a\r\nx-penstock-tenant: b\r\nx_penstock_tenant: c\r\nconnection: close\r\n\r\n"
    )
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    [seen] = upstream.seen
    assert [pair for pair in seen.headers if "tenant" in pair[0]] == [("x-penstock-tenant", "default")]
    writer.close()


async def test_a_request_and_what_it_asks_of_others_have_a_span_each(
    start_stand: Any, upstream: Upstream, monkeypatch: Any
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    front = await start_stand(ingestion=upstream.url, max_upload_bytes=10)
    await call(front, "GET", "/v1/files/file-1", {"traceparent": TRACE})
    await call(front, "POST", "/v1/files", content=b"x" * 11)
    spans = {span.name: span for span in exporter.get_finished_spans() if span.name.startswith(("G", "P"))}
    read, asked, refused = (spans[name] for name in ("GET /v1/files/{file_id}", "GET", "POST /v1/files"))
    assert (read.name, read.kind) == ("GET /v1/files/{file_id}", trace.SpanKind.SERVER)
    assert read.attributes is not None
    assert read.attributes["http.response.status_code"] == 200
    assert read.attributes["penstock.tenant"] == "default"
    assert "url.query" not in read.attributes
    assert (asked.kind, asked.parent) == (trace.SpanKind.CLIENT, read.context)
    assert read.parent is not None
    assert (read.context.trace_id, read.parent.span_id) == (int("ab" * 16, 16), int("cd" * 8, 16))
    assert upstream.seen[0].all_of("traceparent") == [f"00-{'ab' * 16}-{asked.context.span_id:016x}-01"]
    assert refused.attributes is not None
    assert refused.attributes["http.response.status_code"] == 413
    assert refused.status.is_ok or refused.status.is_unset


async def test_another_key_is_another_tenant(front: Any, upstream: Upstream, monkeypatch: Any) -> None:
    async def other(_key: str) -> Caller:
        return Caller("other")

    monkeypatch.setattr(front.gateway.service.access, "caller_of", other)
    await call(front, "GET", "/v1/files", {"x-penstock-tenant": "default"})
    assert upstream.seen[0].all_of("x-penstock-tenant") == ["other"]

    async def odd(_key: str) -> Caller:
        return Caller("ünï")

    monkeypatch.setattr(front.gateway.service.access, "caller_of", odd)
    assert code(await call(front, "GET", "/v1/files")) == (500, "unusable_tenant")


async def test_without_a_key_nothing_is_passed_on(front: Any, upstream: Upstream) -> None:
    for method, path in operations():
        response = await front.client.request(method, front.url + path.replace("{", "").replace("}", ""))
        assert code(response) == (401, "invalid_api_key")
    assert upstream.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/..",
        "/v1/files/../../internal",
        "/v1/files/%2e%2e",
        "/v1/files/%2E%2e/content",
        "/v1/files/a%2Fcontent",
        "/v1/files/..%2f..%2finternal",
        "/v1/files/a%2F..%2F..%2Finternal/content",
        "/v1/files/..%5c..%5cinternal",
        "/v1/files/%252e%252e%252finternal",
        "/v1/files//content",
        "/v1//files",
        "//v1/files",
        "/v1/files/",
        "/v1/files/a%3Fx",
        "/v1/files/a%23",
        "/v1/files/a%00",
        "/v1/%66iles",
        "/v1/vector_stores/vs_1%2Ffiles%2Ff",
        "/v1/vector_stores/..%2f..%2ffiles/search",
        "/v1/internal/x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_no_path_leads_elsewhere(front: Any, upstream: Upstream, method: str, path: str) -> None:
    reader, writer = await raw(front, f"{method} {path} HTTP/1.1")
    writer.write(b"content-length: 0\r\nconnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.split(b" ")[1] in (b"404", b"405")
    assert b'"error"' in answer
    assert upstream.seen == []
    writer.close()


async def test_methods_that_are_not_there(front: Any) -> None:
    response = await call(front, "PUT", "/v1/files")
    assert code(response) == (405, "method_not_allowed")
    assert response.headers["allow"] == "GET, POST"


async def test_an_upload_flows_through_while_it_is_sent(front: Any, upstream: Upstream) -> None:
    arrived = asyncio.Event()

    async def answer(seen: Seen, receive: Receive, send: Send) -> None:
        seen.pieces.append((await receive())["body"])
        arrived.set()
        await echo(seen, receive, send)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.wait_for(arrived.wait(), 5)  # the server has it before there is any more
        yield b"x" * (3 * MIB)

    upstream.answer = answer
    response = await call(
        front, "POST", "/v1/files", {"content-type": "multipart/form-data; boundary=b"}, content=pieces()
    )
    assert response.json() == {"size": 5 + 3 * MIB}
    [seen] = upstream.seen
    assert seen.all_of("content-type") == ["multipart/form-data; boundary=b"]
    assert seen.all_of("transfer-encoding") == ["chunked"]


async def test_a_length_is_passed_on(front: Any, upstream: Upstream) -> None:
    content = bytes(range(256)) * 4096
    response = await call(front, "POST", "/v1/files", content=content)
    assert response.json() == {"size": len(content)}
    assert upstream.seen[0].all_of("content-length") == [str(len(content))]
    assert upstream.seen[0].body == content


async def test_a_response_flows_back_while_it_is_made(front: Any, upstream: Upstream) -> None:
    read = asyncio.Event()

    async def answer(seen: Seen, receive: Receive, send: Send) -> None:
        await seen.read(receive)
        headers = {"content_type": "text/x", "content_encoding": "gzip", "etag": '"1"', "x_own": "1"}
        unwanted = {"connection": "x-own", "set_cookie": "a=b", "x_request_id": "theirs", "keep_alive": "5"}
        await send(start(206, **headers, **unwanted))
        await send(body(b"not gzip ", more=True))
        await asyncio.wait_for(read.wait(), 5)
        await send(body(b"x" * MIB))

    upstream.answer = answer
    url = f"{front.url}/v1/files/f/content"
    async with front.client.stream("GET", url, headers=front.auth) as response:
        parts = response.aiter_raw()
        assert await anext(parts) == b"not gzip "
        read.set()
        assert sum([len(part) async for part in parts]) == MIB
    assert response.status_code == 206
    assert (response.headers["content-type"], response.headers["etag"]) == ("text/x", '"1"')
    assert response.headers["content-encoding"] == "gzip"
    assert not {"set-cookie", "x-own", "keep-alive"} & set(response.headers)
    assert response.headers.get_list("x-request-id") == [upstream.seen[0].all_of("x-request-id")[0]]
    assert len(response.headers.get_list("date")) == 1


async def test_errors_of_the_server_are_passed_back(front: Any, upstream: Upstream) -> None:
    async def answer(seen: Seen, receive: Receive, send: Send) -> None:
        await seen.read(receive)
        await send(start(409, content_type="application/json", retry_after="3"))
        await send(body(b'{"error":{}}'))

    upstream.answer = answer
    response = await call(front, "DELETE", "/v1/files/f")
    assert (response.status_code, response.content) == (409, b'{"error":{}}')
    assert response.headers["retry-after"] == "3"


async def test_a_hundred_megabytes_are_refused_at_once(front: Any, upstream: Upstream) -> None:
    reader, writer = await raw(front, "POST /v1/files HTTP/1.1")
    writer.write(f"content-length: {100 * MIB}\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)  # not a byte of it was sent
    assert head.startswith(b"HTTP/1.1 413")
    assert b"request_too_large" in await reader.readuntil(b"}}")
    assert upstream.seen == []
    assert front.gateway.service.uploads.used == 0
    writer.close()
    response = await call(front, "POST", "/v1/files", content=b"x" * (100 * MIB))
    assert code(response) == (413, "request_too_large")


async def test_a_file_at_the_limit_is_taken_and_a_byte_more_is_not(
    start_stand: Any, upstream: Upstream
) -> None:
    front = await start_stand(ingestion=upstream.url, max_upload_bytes=MIB)

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for at in range(0, size, 1000):
            yield b"x" * min(1000, size - at)

    assert (await call(front, "POST", "/v1/files", content=pieces(MIB))).json() == {"size": MIB}
    assert code(await call(front, "POST", "/v1/files", content=pieces(MIB + 1))) == (413, "request_too_large")
    await front.until(lambda: upstream.seen[-1].ended == "broken off")


async def test_other_bodies_have_the_limit_of_bodies(front: Any) -> None:
    for path in ("/v1/vector_stores", "/v1/vector_stores/vs_1/search"):
        assert code(await call(front, "POST", path, content=b" " * (MIB + 1))) == (413, "request_too_large")
        assert (await call(front, "POST", path, json={"query": "q"})).status_code == 200
    response = await call(front, "POST", "/v1/vector_stores", {"content-encoding": "gzip"}, content=b"x")
    assert code(response) == (415, "unsupported_media_type")


async def test_a_body_where_none_belongs_is_left_out(front: Any, upstream: Upstream) -> None:
    response = await call(front, "DELETE", "/v1/files/f", {"content-type": "a/b"}, content=b"x" * 100)
    assert response.json() == {"size": 0}
    assert not upstream.seen[0].all_of("content-length") + upstream.seen[0].all_of("content-type")
    assert (await call(front, "GET", "/v1/files")).status_code == 200


async def test_a_client_that_falls_silent(start_stand: Any, upstream: Upstream) -> None:
    front = await start_stand(ingestion=upstream.url, body_timeout_s=0.2)
    reader, writer = await raw(front, "POST /v1/files HTTP/1.1")
    writer.write(b"content-length: 100\r\n\r\nabc")
    answer = await asyncio.wait_for(reader.read(), 5)  # to its end: the connection is closed
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"request_timeout" in answer
    await front.until(lambda: upstream.seen[0].ended == "broken off")
    assert front.gateway.service.uploads.used == front.gateway.service.open_requests.used == 0
    writer.close()


async def test_a_client_that_sends_a_byte_now_and_then(start_stand: Any, upstream: Upstream) -> None:
    front = await start_stand(ingestion=upstream.url, body_timeout_s=0.4)
    reader, writer = await raw(front, "POST /v1/files HTTP/1.1")
    writer.write(b"content-length: 100000\r\n\r\n")
    answering = asyncio.create_task(reader.read())
    for _ in range(100):
        writer.write(b"x")
        if (await asyncio.wait([answering], timeout=0.05))[0]:
            break
    assert (await asyncio.wait_for(answering, 30)).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_a_client_that_hangs_up_while_it_sends(front: Any, upstream: Upstream) -> None:
    _, writer = await raw(front, "POST /v1/files HTTP/1.1")
    writer.write(b"content-length: 100\r\n\r\nabc")
    await front.until(lambda: bool(upstream.seen and upstream.seen[0].pieces))
    writer.close()
    await front.until(lambda: upstream.seen[0].ended == "broken off")
    await front.until(lambda: front.gateway.service.uploads.used == 0)


async def test_a_client_that_hangs_up_while_it_waits(front: Any, upstream: Upstream) -> None:
    gone = asyncio.Event()

    async def answer(seen: Seen, receive: Receive, _send: Send) -> None:
        await seen.read(receive)
        while (await receive())["type"] != "http.disconnect":
            continue
        gone.set()

    upstream.answer = answer
    for head in ("POST /v1/files HTTP/1.1\r\ncontent-length: 3", "GET /v1/files HTTP/1.1"):
        gone.clear()
        upstream.seen.clear()
        _, writer = await raw(front, head)
        writer.write(b"\r\nabc" if "POST" in head else b"\r\n")
        await front.until(lambda: bool(upstream.seen and upstream.seen[0].ended == "whole"))
        writer.close()
        await asyncio.wait_for(gone.wait(), 5)
        await front.until(lambda: front.gateway.service.open_requests.used == 0)


async def test_a_client_that_hangs_up_while_it_reads(front: Any, upstream: Upstream) -> None:
    stopped = asyncio.Event()

    async def answer(seen: Seen, receive: Receive, send: Send) -> None:
        await seen.read(receive)
        await send(start())
        watching = asyncio.create_task(receive())
        while not watching.done():
            await send(body(b"x" * 65536, more=True))
            await asyncio.sleep(0)
        stopped.set()

    upstream.answer = answer
    reader, writer = await raw(front, "GET /v1/files/f/content HTTP/1.1")
    writer.write(b"\r\n")
    await reader.readexactly(100_000)
    writer.close()
    await asyncio.wait_for(stopped.wait(), 5)


async def test_a_server_that_is_away(start_stand: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    front = await start_stand(ingestion=url)
    for response in (
        await call(front, "GET", "/v1/files"),
        await call(front, "POST", "/v1/files", content=b"x" * MIB),
    ):
        assert code(response) == (503, "not_ready")
        assert "ingestion" in response.json()["error"]["message"]
        assert response.headers["retry-after"]


async def test_an_installation_without_documents(stand: Any) -> None:
    response = await call(stand, "POST", "/v1/files", content=b"x" * MIB)
    assert code(response) == (503, "not_configured")
    assert "PENSTOCK_INGESTION" in response.json()["error"]["message"]
    assert code(await call(stand, "GET", "/v1/vector_stores/vs_1")) == (503, "not_configured")


async def test_a_server_that_is_killed_during_an_upload(front: Any, upstream: Upstream) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await front.until(lambda: bool(upstream.seen and upstream.seen[0].pieces))
        upstream.kill()
        for _ in range(50):
            yield b"x" * 100_000
            await asyncio.sleep(0)

    response = await call(front, "POST", "/v1/files", content=pieces())
    assert code(response) == (502, "upstream_failed")
    assert front.gateway.service.uploads.used == 0
    assert (await call(front, "GET", "/v1/files")).status_code == 200  # it is back


async def test_a_server_that_is_killed_during_its_answer(front: Any, upstream: Upstream) -> None:
    async def answer(seen: Seen, receive: Receive, send: Send) -> None:
        await seen.read(receive)
        await send(start(content_length="1000"))
        await send(body(b"x" * 10, more=True))
        upstream.kill()

    upstream.answer = answer
    reader, writer = await raw(front, "GET /v1/files/f/content HTTP/1.1")
    writer.write(b"\r\n")
    answer_bytes = await asyncio.wait_for(reader.read(), 5)  # the end of the connection, not of the content
    head, _, content = answer_bytes.partition(b"\r\n\r\n")
    assert b"content-length: 1000" in head
    assert content == b"x" * 10
    writer.close()


async def test_more_uploads_than_allowed(start_stand: Any, upstream: Upstream) -> None:
    front = await start_stand(ingestion=upstream.url, max_uploads=1)
    _, writer = await raw(front, "POST /v1/files HTTP/1.1")
    writer.write(b"content-length: 100\r\n\r\nabc")
    await front.until(lambda: bool(upstream.seen))
    assert code(await call(front, "POST", "/v1/files", content=b"x")) == (429, "rate_limit_exceeded")
    assert (await call(front, "GET", "/v1/files")).status_code == 200
    writer.close()
    await front.until(lambda: front.gateway.service.uploads.used == 0)
    assert (await call(front, "POST", "/v1/files", content=b"x")).status_code == 200


async def test_the_url_may_have_a_path_and_must_be_one(start_stand: Any, upstream: Upstream) -> None:
    from pydantic import ValidationError

    front = await start_stand(ingestion=f"{upstream.url}/behind/")
    await call(front, "GET", "/v1/files?a=b")
    assert upstream.seen[0].target == b"/behind/v1/files?a=b"
    for wrong in ("127.0.0.1:8085", "ftp://x", "http://", "http://x/?a=b"):
        with pytest.raises(ValidationError):
            await start_stand(ingestion=wrong)

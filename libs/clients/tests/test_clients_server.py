"""HTTP to a model server that answers well, badly, slowly or not at all: each failure has one meaning."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from libs.clients.tests.raw_server import END, FOREVER, STREAM, Answer, RawServer, answer, chunk, serving
from penstock.clients.errors import Away, Busy, ModelServerError, Refused, Unavailable, WrongDialect
from penstock.clients.server import ModelServer
from penstock.telemetry.spans import traceparent

NUMBERS = msgspec.json.Decoder(list[int])
GOOD = answer(200, b"[1,2]")


async def failure(server: RawServer, seconds: float = 5.0) -> ModelServerError:
    asked = ModelServer(server.url, seconds=seconds)
    try:
        with pytest.raises(ModelServerError) as raised:
            await asked.ask("/x", NUMBERS, b"{}")
    finally:
        await asked.close()
    return raised.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Refused) for status in (400, 413, 422)),
        (429, Busy),
        *((status, Away) for status in (502, 503, 504)),
        *((status, Unavailable) for status in (401, 403, 408, 424, 425, 500)),
        *((status, WrongDialect) for status in (301, 302, 307, 404, 405, 415, 418)),
    ],
)
async def test_a_status_has_one_meaning(status: int, kind: type[ModelServerError]) -> None:
    async with serving(answer(status, b'{"error":"too long","error_type":"x"}')) as server:
        error = await failure(server)
    assert type(error) is kind
    assert str(error) == "too long"
    assert str(status) in error.why
    assert "too long" not in error.why


@pytest.mark.parametrize("body", [b"<html>\xff", b'{"error": {"message": "x"}}', b"", b"[" * 100_000])
async def test_an_error_without_words_of_the_dialect_is_told_by_its_status(body: bytes) -> None:
    async with serving(answer(503, body)) as server:
        assert str(await failure(server)) == "status 503"


GARBAGE: dict[str, tuple[Answer, type[ModelServerError]]] = {
    "no HTTP": ([b"SSH-2.0-OpenSSH_9.6\r\n\r\n"], WrongDialect),
    "another version": ([b"HTTP/9.9 abc\r\n\r\n"], WrongDialect),
    "a huge line": ([b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n"], WrongDialect),
    "headers without end": ([b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000], WrongDialect),
    "no answer": ([b""], Unavailable),
    "half a head": ([b"HTTP/1.1 200 OK\r\ncontent-"], Unavailable),
    "half a body": ([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[1"], Unavailable),
    "half a chunk": ([STREAM, b"9\r\n[1"], Unavailable),
    "no chunk": ([STREAM, b"\xff\xff\r\n"], WrongDialect),
    "no JSON": (answer(200, b"<html>"), WrongDialect),
    "no UTF-8": (answer(200, b'["\xff"]'), WrongDialect),
    "other JSON": (answer(200, b'{"a": 1}'), WrongDialect),
    "too much": (answer(200, b"[" + b"1," * (1 << 19) + b"1]"), WrongDialect),
    "too much, in chunks": ([STREAM, *([chunk(b" " * 60_000)] * 20), END], WrongDialect),
    "gzip that nobody asked for": (
        answer(200, b"\x1f\x8b\x08\x00", more="content-encoding: gzip\r\n"),
        WrongDialect,
    ),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_what_is_no_answer_is_a_clear_error(name: str) -> None:
    given, kind = GARBAGE[name]
    async with asyncio.timeout(5), serving(given, closes=True) as server:
        error = await failure(server)
    assert type(error) is kind, error
    assert len(error.why) < 200


@pytest.mark.parametrize(
    "slow",
    [
        [FOREVER],
        [b"HTTP/1.1 200 OK\r\n", *(part for n in range(99) for part in (b"x-%d: y\r\n" % n, 0.05))],
        [
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n",
            *(part for _ in range(99) for part in (b" ", 0.05)),
        ],
    ],
    ids=["nothing", "its head", "its body"],
)
async def test_a_slow_answer_is_given_up_and_its_connection_closed(slow: Answer) -> None:
    async with asyncio.timeout(5), serving(slow) as server:
        error = await failure(server, seconds=0.3)
        await server.gone.wait()
    assert isinstance(error, Unavailable)
    assert error.why == "no answer within 0.3 s"


async def test_a_server_that_is_not_there_is_away() -> None:
    asked = ModelServer("http://127.0.0.1:1")
    with pytest.raises(Away, match="no connection"):
        await asked.fetch("/x")
    with pytest.raises(Away, match="no connection"):
        await anext(asked.stream("/x", b"{}"))
    await asked.close()


async def test_answers_come_over_one_connection_also_after_errors() -> None:
    async with serving(GOOD, answer(422, b"{}"), answer(503, b""), GOOD) as server:
        asked = ModelServer(f"{server.url}/")
        assert await asked.ask("/x", NUMBERS) == [1, 2]
        for kind in (Refused, Unavailable):
            with pytest.raises(kind):
                await asked.ask("/x", NUMBERS, b"{}")
        assert await asked.ask("/x", NUMBERS, b"{}") == [1, 2]
        await asked.close()
    assert server.connections == 1
    assert [request.split(b" HTTP")[0] for request in server.requests] == [b"GET /x"] + [b"POST /x"] * 3


@pytest.fixture
async def streamed() -> AsyncIterator[RawServer]:
    pieces: Answer = [STREAM, chunk(b"data:1\n\ndata:2\n\nda"), 0.05, chunk(b"ta:3\n\n"), END]
    async with serving(pieces) as server:
        yield server


async def test_events_of_one_read_come_together_and_the_connection_is_kept(streamed: RawServer) -> None:
    asked = ModelServer(streamed.url)
    for _ in range(2):
        assert [found async for found in asked.stream("/s", b"{}")] == [[b"1", b"2"], [b"3"]]
    await asked.close()
    assert streamed.connections == 1


async def test_within_a_pause_events_gather_and_none_is_lost() -> None:
    pieces: Answer = [STREAM, *(part for n in range(40) for part in (chunk(b"data:%d\n\n" % n), 0.002)), END]
    async with asyncio.timeout(5), serving(pieces) as server:
        asked = ModelServer(server.url)
        reads = [found async for found in asked.stream("/s", b"{}", lambda: 0.03)]
        await asked.close()
    assert [event for found in reads for event in found] == [b"%d" % n for n in range(40)]
    assert reads[0] == [b"0"]
    assert len(reads) < 20


async def test_the_end_of_a_stream_ends_its_pause() -> None:
    pieces: Answer = [STREAM, chunk(b"data:1\n\n"), 0.02, chunk(b"data:2\n\n"), END]
    async with asyncio.timeout(5), serving(pieces) as server:
        asked = ModelServer(server.url)
        assert [found async for found in asked.stream("/s", b"{}", lambda: 3600.0)] == [[b"1"], [b"2"]]
        await asked.close()


async def test_a_stream_that_is_closed_or_cancelled_is_closed_at_the_server() -> None:
    async with asyncio.timeout(5), serving([STREAM, chunk(b"data:1\n\n"), FOREVER]) as server:
        asked = ModelServer(server.url)
        stream = asked.stream("/s", b"{}")
        assert await anext(stream) == [b"1"]
        await stream.aclose()
        await server.gone.wait()
        server.gone.clear()
        stream = asked.stream("/s", b"{}")
        assert await anext(stream) == [b"1"]
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        reading.cancel()
        await server.gone.wait()
        await asked.close()


@pytest.mark.parametrize(
    ("given", "kind", "why"),
    [
        (answer(200, b"{}"), WrongDialect, "application/json"),
        (answer(200, b"<html>", "text/html"), WrongDialect, "text/html"),
        ([STREAM, chunk(b"data:1\n\n")], Unavailable, "no answer"),
        ([STREAM + chunk(b"data:1\n\n") + b"what?\r\n"], WrongDialect, "no HTTP"),
        ([STREAM, chunk(b"data:1\n\n"), 0.05, b"what?\r\n"], Unavailable, "no answer"),
        ([STREAM, *([chunk(b"x" * 60_000)] * 20)], WrongDialect, "an event of more than"),
    ],
)
async def test_a_stream_that_is_none_is_a_clear_error(
    given: Answer, kind: type[ModelServerError], why: str
) -> None:
    async with asyncio.timeout(5), serving(given, closes=True) as server:
        asked = ModelServer(server.url)
        with pytest.raises(kind, match=why):
            [_ async for _ in asked.stream("/s", b"{}")]
        await asked.close()


async def test_the_key_goes_to_its_server_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(name, "hub-secret")
    async with serving(GOOD) as other:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, other.url)
        moved = answer(307, b"", more=f"location: {other.url}/x\r\n")
        async with serving(GOOD, moved) as server:
            asked = ModelServer(server.url, SecretStr("backend-secret"))
            await asked.fetch("/x")
            with pytest.raises(WrongDialect, match="307"):
                await asked.fetch("/x")
            await asked.close()
        assert all(
            b"\r\nauthorization: Bearer backend-secret\r\n" in r for r in map(lowered, server.requests)
        )
        keyless = ModelServer(other.url)
        await keyless.fetch("/x")
        await keyless.close()
    [request] = other.requests
    assert b"authorization" not in request.lower()
    assert b"secret" not in request


def lowered(request: bytes) -> bytes:
    """The request with its header names in small letters."""
    return request.replace(b"Authorization:", b"authorization:")


async def test_a_call_names_the_current_span_and_makes_none(spans: InMemorySpanExporter) -> None:
    async with serving(GOOD) as server:
        asked = ModelServer(server.url)
        with trace.get_tracer("test").start_as_current_span("process chat.requests") as span:
            await asked.fetch("/x", b"{}")
        await asked.fetch("/x", b"{}")
        await asked.close()
    within, outside = (request.lower() for request in server.requests)
    assert f"traceparent: {traceparent(span)}".encode() in within
    assert b"traceparent" not in outside
    assert [one.name for one in spans.get_finished_spans()] == ["process chat.requests"]

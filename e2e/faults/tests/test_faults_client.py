"""The load's client against a server that breaks connections: it joins what it read without a seam."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

import msgspec
import pytest

from e2e.faults.asks import MIXED, Ask, Kind, Load, asks
from e2e.faults.client import Client, Door
from e2e.faults.events import ServerEvent, events, parse
from e2e.faults.load import http_sessions
from e2e.faults.seen import Seen
from penstock.messages.ids import new_request_id

ASK = Ask("a", Kind.STREAM, 12)
TEXT = ASK.expected().text
ID = new_request_id(1, time.time_ns() // 1_000_000)


def chunk(event_id: int, **more: object) -> bytes:
    body = {"id": f"chatcmpl-{ID}"} | more
    return b"id: %d\ndata: %s\n\n" % (event_id, msgspec.json.encode(body))


def text(start: int, stop: int) -> bytes:
    return chunk(stop, choices=[{"delta": {"content": TEXT[start:stop]}}])


def closing() -> bytes:
    end = len(TEXT)
    finish = chunk(end + 1, choices=[{"delta": {}, "finish_reason": "stop"}])
    usage = chunk(end + 2, choices=[], usage={"completion_tokens": 12})
    return finish + usage + b"id: %d\ndata: [DONE]\n\n" % (end + 3)


OPENING = chunk(0, choices=[{"delta": {"content": ""}}])


@asynccontextmanager
async def served(answer: Callable[[str], tuple[int, bytes]]) -> AsyncIterator[tuple[Door, list[str]]]:
    """A server that closes each connection after what `answer` gives for the head of a request."""
    heads: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heads.append(head)
        status, body = answer(head)
        writer.write(b"HTTP/1.1 %d x\r\ntransfer-encoding: chunked\r\n\r\n" % status)
        writer.write(b"%x\r\n%s\r\n" % (len(body), body))
        if body.endswith(b"[DONE]\n\n") or status != 200:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield Door(lambda: [f"http://127.0.0.1:{port}"], "key", "m", 5.0), heads


async def ask(door: Door, one: Ask = ASK, seed: int = 0) -> Seen:
    async with http_sessions() as (quick, slow):
        return await Client(door, quick, slow, Random(seed)).ask(one)  # noqa: S311  # drawn again, not secret


@pytest.mark.parametrize("seed", range(6))
async def test_a_stream_that_breaks_twice_is_joined_where_it_broke(seed: int) -> None:
    places = iter([(0, 4), (4, 4), (4, len(TEXT))])

    def answer(head: str) -> tuple[int, bytes]:
        start, stop = next(places)
        asked_after = _after(head)
        assert asked_after == (None if start == 0 else start)
        body = (OPENING if start == 0 else b"") + (text(start, stop) if stop > start else b": hello\n\n")
        return 200, body + (closing() if stop == len(TEXT) else b"")

    async with served(answer) as (door, heads):
        seen = await ask(door, seed=seed)
    assert (seen.text, seen.resumed, len(heads)) == (TEXT, 2, 3)
    assert seen.end is not None
    assert (seen.end.state, seen.end.finish_reason, seen.end.tokens) == ("completed", "stop", 12)
    assert all("idempotency-key: a" in head.lower() for head in heads if head.startswith("POST"))


def _after(head: str) -> int | None:
    """Where a request goes on, by header or by query."""
    for line in head.split("\r\n"):
        if line.lower().startswith("last-event-id:"):
            return int(line.partition(":")[2])
    _, found, rest = head.partition("starting_after=")
    return int(rest.split("&")[0].split(" ")[0]) if found else None


async def test_a_refusal_is_tried_again_and_an_error_ends_it() -> None:
    answers: list[tuple[int, bytes]] = [
        (503, b'{"error":{"message":"x","code":"not_accepted"}}'),
        (429, b'{"error":{"message":"x","code":"rate_limit_exceeded"}}'),
        (503, b'{"error":{"message":"x","code":"backend_unavailable"}}'),
    ]
    async with served(lambda _: answers.pop(0)) as (door, _):
        seen = await ask(door)
    assert seen.end is not None
    assert (seen.end.state, seen.end.code, len(seen.troubles)) == ("failed", "backend_unavailable", 2)
    assert seen.acknowledged is None


def test_events_are_read_with_ids_and_comments_are_none() -> None:
    assert parse(b"id: 7\ndata: x") == ServerEvent(7, b"x")
    assert parse(b"data: x") == ServerEvent(None, b"x")
    assert parse(b": keep-alive") is None
    assert parse(b": keep-alive\nid: 7\ndata: x") == ServerEvent(7, b"x")


async def test_events_join_across_reads() -> None:
    async def reads() -> AsyncIterator[bytes]:
        for part in (b"id: 1\nda", b"ta: a\n", b"\nid: 2\ndata: b\n\n"):
            yield part

    assert [event async for event in events(reads())] == [ServerEvent(1, b"a"), ServerEvent(2, b"b")]


def test_a_load_is_drawn_again_from_its_seed_and_has_every_kind() -> None:
    def drawn(seed: int) -> Sequence[Ask]:
        source = asks(Load(shares=MIXED), "x", Random(seed))  # noqa: S311  # as above
        return [next(source) for _ in range(400)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert {one.kind for one in drawn(1)} == set(Kind)
    assert len({one.key for one in drawn(1)}) == 400
    assert {one.expected().finish_reason for one in drawn(1)} == {"stop", "length"}
    stopped = [one for one in drawn(1) if one.stop]
    assert stopped
    assert all(one.stop not in one.expected().text for one in stopped)

"""Token borders against a small server that speaks TGI's `/tokenize`."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.ingestion.adapters.tokens import CONCURRENCY, PIECE_CHARACTERS, TgiTokenizer, pieces
from penstock.streaming.errors import PermanentError, TransientError


class Server:
    """Answers a token for each word with the space before it; `statuses` first, one a call."""

    def __init__(self) -> None:
        self.url = ""
        self.statuses: list[int] = []
        self.answer: bytes | None = None
        self.bodies: list[dict[str, object]] = []
        self.at_once = self.most_at_once = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await self._head(reader):
            length = re.search(rb"(?i)content-length: (\d+)", head)
            body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
            self.bodies.append(body)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await asyncio.sleep(0.01)
            self.at_once -= 1
            status = self.statuses.pop(0) if self.statuses else 200
            answer = self._tokens(str(body["inputs"])) if self.answer is None else self.answer
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(answer)) + answer)
        writer.close()

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""

    def _tokens(self, text: str) -> bytes:
        found = [
            {"id": 1, "text": m[0], "start": m.start(), "stop": m.end()} for m in re.finditer(r"\s?\S+", text)
        ]
        return json.dumps([*found, {"id": 2, "text": "", "start": 0, "stop": 0}]).encode()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield server
    listening.close()


@pytest.fixture
async def tokenizer(server: Server) -> AsyncIterator[TgiTokenizer]:
    tokenizer = TgiTokenizer(f"{server.url}/")
    yield tokenizer
    await tokenizer.close()


async def test_the_borders_of_a_short_text(tokenizer: TgiTokenizer, server: Server) -> None:
    assert await tokenizer.borders("one größer 🙂") == [(0, 3), (3, 10), (10, 12)]
    assert server.bodies == [{"inputs": "one größer 🙂", "add_special_tokens": False}]
    assert await tokenizer.borders("") == []


async def test_a_long_text_goes_in_pieces_a_few_at_a_time(tokenizer: TgiTokenizer, server: Server) -> None:
    text = " ".join(f"word{number}" for number in range(25_000))
    borders = await tokenizer.borders(text)
    assert "".join(text[start:stop] for start, stop in borders) == text
    assert len(server.bodies) > 10
    assert max(len(str(body["inputs"])) for body in server.bodies) <= PIECE_CHARACTERS
    assert 1 < server.most_at_once <= CONCURRENCY


@pytest.mark.parametrize("status", [408, 424, 429, 500, 503])
async def test_a_server_in_trouble_is_a_transient_error(
    tokenizer: TgiTokenizer, server: Server, status: int
) -> None:
    server.statuses = [200, status]
    with pytest.raises(TransientError, match=f"tokens_unavailable.*{status}"):
        await tokenizer.borders("x " * 40_000)
    assert len(await tokenizer.borders("one two")) == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "tokens_refused"), (413, "tokens_refused"), (422, "tokens_refused"), (404, "tokens_invalid")],
)
async def test_a_refusal_is_a_permanent_error(
    tokenizer: TgiTokenizer, server: Server, status: int, code: str
) -> None:
    server.statuses = [status]
    with pytest.raises(PermanentError, match=f"{code}.*{status}"):
        await tokenizer.borders("one")


@pytest.mark.parametrize("answer", [b"no JSON", b"{}", b'[{"id": 1}]'])
async def test_an_answer_without_offsets_is_a_permanent_error(
    tokenizer: TgiTokenizer, server: Server, answer: bytes
) -> None:
    server.answer = answer
    with pytest.raises(PermanentError, match="tokens_invalid"):
        await tokenizer.borders("one")


async def test_no_server_is_a_transient_error() -> None:
    tokenizer = TgiTokenizer("http://127.0.0.1:1")
    with pytest.raises(TransientError, match="tokens_unavailable"):
        await tokenizer.borders("one")
    await tokenizer.close()


@given(st.text(st.sampled_from("ab \n"), max_size=200), st.integers(1, 20))
def test_pieces_cover_the_text_in_order(text: str, limit: int) -> None:
    found = pieces(text, limit)
    assert "".join(text[start:end] for start, end in found) == text
    assert all(0 < end - start <= limit for start, end in found)
    assert all(earlier[1] == later[0] for earlier, later in pairwise(found))

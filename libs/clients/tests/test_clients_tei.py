"""The embeddings client against a small server: batches, connections kept, and what each failure becomes."""

from collections.abc import AsyncIterator

import pytest

from libs.clients.tests.tei_server import TeiServer, serving
from penstock.clients.tei import TeiEmbedder
from penstock.streaming.errors import PermanentError, TransientError

SIZE = 3


@pytest.fixture
async def tei_server() -> AsyncIterator[TeiServer]:
    async with serving() as served:
        yield served


@pytest.fixture
async def tei(tei_server) -> AsyncIterator[TeiEmbedder]:
    embedder = TeiEmbedder(tei_server.url, SIZE)
    yield embedder
    await embedder.close()


async def test_each_text_gets_its_vector_in_order(tei: TeiEmbedder, tei_server) -> None:
    assert await tei.embed(["a", "naïve"]) == [[1, 0.5, 1], [5, 0.5, 1]]
    assert tei_server.bodies == [{"inputs": ["a", "naïve"], "truncate": True}]


async def test_many_texts_go_in_batches_over_one_connection(tei: TeiEmbedder, tei_server) -> None:
    vectors = await tei.embed(["x" * n for n in range(1, 71)])
    assert [vector[0] for vector in vectors] == list(range(1, 71))
    assert [len(body["inputs"]) for body in tei_server.bodies] == [32, 32, 6]
    assert tei_server.connections == 1


async def test_no_texts_cost_no_call(tei: TeiEmbedder, tei_server) -> None:
    assert await tei.embed([]) == []
    assert tei_server.connections == 0


@pytest.mark.parametrize("status", [401, 403, 408, 424, 429, 500, 502, 503, 504])
async def test_a_server_in_trouble_is_a_transient_error(tei: TeiEmbedder, tei_server, status: int) -> None:
    tei_server.statuses = [status]
    with pytest.raises(TransientError, match=f"embeddings_unavailable.*{status}"):
        await tei.embed(["a"])
    assert len(await tei.embed(["a"])) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "embedding_refused"),
        (413, "embedding_refused"),
        (422, "embedding_refused"),
        (404, "embeddings_invalid"),
    ],
)
async def test_a_refusal_is_a_permanent_error(tei: TeiEmbedder, tei_server, status: int, code: str) -> None:
    tei_server.statuses = [status]
    with pytest.raises(PermanentError, match=f"{code}.*{status}"):
        await tei.embed(["a"])


async def test_a_cut_connection_is_a_transient_error(tei: TeiEmbedder, tei_server) -> None:
    tei_server.statuses = [0]
    with pytest.raises(TransientError, match="embeddings_unavailable"):
        await tei.embed(["a"])


async def test_no_server_is_a_transient_error_and_a_reason_to_wait() -> None:
    tei = TeiEmbedder("http://127.0.0.1:1", SIZE)
    with pytest.raises(TransientError, match="embeddings_unavailable"):
        await tei.embed(["a"])
    assert "http://127.0.0.1:1: no connection" in (await tei.health() or "")
    await tei.close()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "/embed answers something else"),
        (b'{"error": "x"}', "/embed answers something else"),
        (b"[[1, 2, 3], [1, 2, 3]]", "2 vectors for 1 texts"),
        (b"[[1, 2]]", "vectors of 2 numbers, the index has 3"),
    ],
)
async def test_an_answer_that_is_not_the_vectors_is_a_permanent_error(
    tei: TeiEmbedder, tei_server, body: bytes, why: str
) -> None:
    tei_server.body = body
    with pytest.raises(PermanentError, match=why):
        await tei.embed(["a"])


async def test_health_says_what_is_waited_for(tei: TeiEmbedder, tei_server) -> None:
    tei_server.statuses = [503]
    assert (await tei.health() or "").endswith("status 503")
    assert await tei.health() is None


async def test_the_model_is_named_or_it_is_said_why_not(tei: TeiEmbedder, tei_server) -> None:
    assert await tei.model_id() == "a-model"
    tei_server.statuses = [503]
    with pytest.raises(TransientError):
        await tei.model_id()
    tei_server.body = b"[]"
    with pytest.raises(PermanentError, match="/info answers something else"):
        await tei.model_id()

"""Search over HTTP, as the gateway asks for it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from penstock.retrieval.adapters.http import MAX_BODY_BYTES, Progress, make_app
from penstock.retrieval.ports import Index
from penstock.retrieval.query_vectors import QueryVectors
from penstock.retrieval.searching import CurrentIndex, Searcher
from penstock.streaming.errors import TransientError


class Reindexing:
    """Begins once."""

    def __init__(self) -> None:
        self.progress = Progress(running=False)

    def begin(self) -> bool:
        if self.progress.running:
            return False
        self.progress = Progress(running=True, done=3, total=7)
        return True


def serve(searcher: Searcher) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(make_app(searcher, Reindexing())), base_url="http://retrieval"
    )


@pytest.fixture
async def client(embedder, index: Index, make) -> AsyncIterator[httpx2.AsyncClient]:
    parts = [
        make.chunked("kafka keeps a log", "boats float", document_id="d0", attributes={"year": 2024}),
        make.chunked("kafka in store one", document_id="d1", store_id="vs_1", attributes={"year": 2020}),
    ]
    await make.indexer(embedder, index).index([make.received(part) for part in parts])
    async with serve(Searcher(QueryVectors(embedder), index)) as client:
        yield client


async def results(client: httpx2.AsyncClient, **body: Any) -> list[dict[str, Any]]:
    response = await client.post("/search", json={"tenant": "acme", "queries": ["kafka"], **body})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["results"]
    return found


async def test_a_result_says_what_was_found_where_and_how_alike_it_is(client: httpx2.AsyncClient) -> None:
    best = (await results(client, queries=["Title kafka keeps a log"]))[0]
    assert 0.99 <= best.pop("score") <= 1
    assert best == {
        "document_id": "d0",
        "store_id": "vs_default",
        "file_id": "file-of-d0",
        "file_name": "notes.md",
        "title": "Title",
        "headings": [],
        "page": None,
        "start": 0,
        "end": 17,
        "text": "kafka keeps a log",
        "tokens": 4,
        "attributes": {"year": 2024},
    }


async def test_it_looks_where_it_is_told_to(client: httpx2.AsyncClient) -> None:
    async def texts(**body: Any) -> list[str]:
        return [result["text"] for result in await results(client, **body)]

    assert await texts() == ["kafka keeps a log", "boats float"]
    assert await texts(limit=1) == ["kafka keeps a log"]
    assert await texts(search={"max_results": 1}) == ["kafka keeps a log"]
    assert await texts(search={"min_score": 0.3}) == ["kafka keeps a log"]
    assert await texts(search={"stores": ["vs_1"]}) == ["kafka in store one"]
    both = {"stores": ["vs_1", "vs_default"], "filters": {"type": "gt", "key": "year", "value": 2020}}
    assert await texts(search=both) == ["kafka keeps a log", "boats float"]
    assert await texts(tenant="globex") == []


async def test_several_queries_are_answered_together(client: httpx2.AsyncClient) -> None:
    found = await results(client, queries=["boats float", "kafka keeps a log"])
    assert {result["text"] for result in found} == {"boats float", "kafka keeps a log"}
    assert all(result["score"] > 0.7 for result in found)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_request"),
        (b"\xff", 400, "invalid_request"),
        (b"[" * 60_000, 400, "invalid_request"),
        (b"{}", 400, "invalid_request"),
        ({"queries": ["x"]}, 400, "invalid_request"),
        ({"tenant": "", "queries": ["x"]}, 400, "invalid_request"),
        ({"tenant": "a", "queries": []}, 400, "invalid_request"),
        ({"tenant": "a", "queries": [" \n"]}, 400, "invalid_request"),
        ({"tenant": "a", "queries": ["x"] * 5}, 400, "invalid_request"),
        ({"tenant": "a", "queries": ["x"], "limit": 0}, 400, "invalid_request"),
        ({"tenant": "a", "queries": ["x"], "limit": 51}, 400, "invalid_request"),
        ({"tenant": "a", "queries": ["x"], "store": "vs_1"}, 400, "invalid_request"),
        ({"tenant": "a", "queries": ["x"], "search": {"filters": {"type": "eq"}}}, 400, "invalid_request"),
        (b" " * (MAX_BODY_BYTES + 1), 413, "body_too_large"),
    ],
)
async def test_a_request_of_no_use_is_answered_with_its_fault(
    client: httpx2.AsyncClient, body: object, status: int, code: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = await client.post("/search", content=content)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert response.json()["error"]["message"]


async def test_what_it_does_not_have_is_told_in_the_same_form(client: httpx2.AsyncClient) -> None:
    response = await client.get("/nothing")
    assert (response.status_code, list(response.json()["error"])) == (404, ["code", "message"])
    assert (await client.get("/search")).status_code == 405


async def test_while_index_or_embeddings_are_away_it_says_503(embedder, index: Index, make) -> None:
    body = {"tenant": "acme", "queries": ["kafka"]}
    async with serve(Searcher(QueryVectors(embedder), CurrentIndex())) as client:
        response = await client.post("/search", json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "index_unavailable")
        assert (await client.get("/livez")).status_code == 200
    await make.indexer(embedder, index).index([make.received(make.chunked("kafka"))])
    embedder.failures.append(TransientError("embeddings_unavailable", "They are away."))
    async with serve(Searcher(QueryVectors(embedder), index)) as client:
        response = await client.post("/search", json=body)
        assert response.status_code == 503
        assert response.json() == {"error": {"code": "embeddings_unavailable", "message": "They are away."}}


async def test_a_new_index_is_made_one_at_a_time_and_tells_its_progress(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/reindex")).json()["running"] is False
    assert (await client.post("/reindex")).status_code == 202
    expected = {"running": True, "done": 3, "total": 7, "error": ""}
    assert (await client.get("/reindex")).json() == expected
    response = await client.post("/reindex")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "reindex_refused")

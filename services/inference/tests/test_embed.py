"""Text Embeddings Inference's dialect on the real MiniLM."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

REFERENCE = json.loads((Path(__file__).parent / "data" / "minilm_reference.json").read_text())
SPOKEN = [entry for entry in REFERENCE if entry["text"]]
"""Without the empty text, which TEI refuses."""
TEXTS = [entry["text"] for entry in SPOKEN]


def cosines(vectors: Any) -> list[float]:
    wanted = np.array([entry["embedding"] for entry in SPOKEN])
    given = np.array(vectors)
    norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(given, axis=1)
    return [float(value) for value in (wanted * given).sum(axis=1) / norms]


@pytest.mark.parametrize("path", ["/tei/embed", "/embed", "/tei", "/tei/"])
async def test_embeddings_match_the_reference(http: httpx2.AsyncClient, conforms: Any, path: str) -> None:
    vectors = (await http.post(path, json={"inputs": TEXTS})).json()
    conforms("tei", "EmbedResponse", vectors)
    assert min(cosines(vectors)) >= 0.9999
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_token_ids_match_the_reference(served: Any) -> None:
    model = served.assembly.service.embeddings.model
    rows = [model.cut(row, left=False) for row in model.tokenize([entry["text"] for entry in REFERENCE])]
    assert rows == [entry["ids"] for entry in REFERENCE]


async def test_concurrent_calls_share_an_inference_and_keep_their_vectors(
    http: httpx2.AsyncClient, served: Any
) -> None:
    batcher = served.assembly.service.embeddings
    before = batcher.inferences
    calls = [http.post("/tei/embed", json={"inputs": text}) for text in TEXTS * 4]
    answers = await asyncio.gather(*calls)
    vectors = [answer.json()[0] for answer in answers]
    for start in range(0, len(vectors), len(TEXTS)):
        assert min(cosines(vectors[start : start + len(TEXTS)])) >= 0.9999
    assert batcher.inferences - before < len(calls) / 2


async def test_a_long_text_is_cut_unless_the_client_forbids_it(http: httpx2.AsyncClient) -> None:
    long = "dam " * 400
    (whole,) = (await http.post("/embed", json={"inputs": long + "river"})).json()
    body = {"inputs": long + "river", "truncation_direction": "Left"}
    (left,) = (await http.post("/embed", json=body)).json()
    cut = (await http.post("/embed", json={"inputs": "dam " * 254})).json()[0]
    assert np.allclose(whole, cut, atol=1e-5)
    assert not np.allclose(left, cut, atol=1e-3)
    refused = await http.post("/embed", json={"inputs": long, "truncate": False})
    assert refused.status_code == 413
    assert "must have less than 256 tokens. Given: 402" in refused.json()["error"]


async def test_normalize_and_dimensions(http: httpx2.AsyncClient) -> None:
    (raw,) = (await http.post("/embed", json={"inputs": "dam", "normalize": False})).json()
    (unit,) = (await http.post("/embed", json={"inputs": "dam"})).json()
    assert np.allclose(np.array(raw) / np.linalg.norm(raw), unit, atol=1e-5)
    assert not np.isclose(np.linalg.norm(raw), 1, atol=1e-3)
    (short,) = (await http.post("/embed", json={"inputs": "dam", "dimensions": 64})).json()
    assert len(short) == 64
    assert np.isclose(np.linalg.norm(short), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"inputs": []}, 400, "Empty"),
        ({"inputs": ""}, 422, "Validation"),
        ({"inputs": ["a", ""]}, 422, "Validation"),
        ({"inputs": ["a"] * 33}, 413, "Validation"),
        ({"inputs": [1, 2, 3]}, 422, "Validation"),
        ({"inputs": "a", "dimensions": 1000}, 422, "Validation"),
        ({"inputs": "a", "prompt_name": "query"}, 422, "Validation"),
        ({"inputs": {"a": 1}}, 422, "Validation"),
        ({}, 422, "Validation"),
    ],
)
async def test_bad_requests_are_refused_in_teis_shape(
    http: httpx2.AsyncClient, conforms: Any, body: Any, status: int, kind: str
) -> None:
    answer = await http.post("/tei/embed", json=body)
    assert answer.status_code == status
    conforms("tei", "ErrorResponse", answer.json())
    assert answer.json()["error_type"] == kind
    assert answer.json()["error"]


async def test_a_huge_body_is_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/tei/embed", json={"inputs": "a" * 2_100_000})
    assert answer.status_code == 413
    assert answer.json()["error_type"] == "Validation"


async def test_info_and_health_are_teis(http: httpx2.AsyncClient, conforms: Any) -> None:
    info = (await http.get("/tei/info")).json()
    conforms("tei", "Info", info)
    assert info["max_input_length"] == 256
    assert (await http.get("/tei/health")).status_code == 200


async def test_openais_embeddings_come_as_numbers_or_base64(http: httpx2.AsyncClient, conforms: Any) -> None:
    body = {"input": TEXTS, "model": "any"}
    plain = (await http.post("/tei/v1/embeddings", json=body)).json()
    conforms("tei", "OpenAICompatResponse", plain)
    assert min(cosines([entry["embedding"] for entry in plain["data"]])) >= 0.9999
    packed = (await http.post("/tei/v1/embeddings", json={**body, "encoding_format": "base64"})).json()
    first = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), dtype="<f4")
    assert np.allclose(first, plain["data"][0]["embedding"], atol=1e-6)
    refused = await http.post("/tei/v1/embeddings", json={"input": []})
    assert refused.status_code == 400
    conforms("tei", "OpenAICompatErrorResponse", refused.json())

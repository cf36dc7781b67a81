"""One real server for the whole session: both models loaded, served by uvicorn on a free port."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest
import uvicorn

from penstock.inference.adapters.http.assembly import Assembly, assemble
from penstock.inference.main import make_parts
from penstock.inference.settings import Settings

REFERENCES = Path(__file__).resolve().parents[4] / "shared" / "references"
MAX_BATCH = 4
MAX_REQUESTS = 6


@dataclass(frozen=True)
class Served:
    """The running server."""

    url: str
    assembly: Assembly

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10) -> None:
        """Wait for something to become true inside the server."""
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - the server runs in another thread, without our events
                await asyncio.sleep(0.005)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    cache = tmp_path_factory.mktemp("model-cache")
    settings = Settings(
        inference_port=0,
        model_cache=cache,
        model_adapter="none",
        inference_kv_cache_tokens=8192,
        inference_max_input_tokens=1000,
        inference_max_total_tokens=1024,
        inference_max_batch_size=MAX_BATCH,
        inference_max_concurrent_requests=MAX_REQUESTS,
        inference_niceness=1,
    )
    failures: list[str] = []
    assembly = assemble(make_parts(settings), failures.append)
    config = uvicorn.Config(assembly.app, port=0, log_config=None, access_log=False, ws="none", loop="uvloop")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="server", daemon=True)
    thread.start()
    deadline = time.monotonic() + 120
    while not (server.started and assembly.service.readiness.is_ready):
        assert not failures, failures
        assert time.monotonic() < deadline, assembly.service.readiness.waiting_for
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Served(f"http://127.0.0.1:{port}", assembly)
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()
    assert assembly.engine.wait_closed(10)
    assert [path.name for path in cache.rglob("openvino_model.xml")], "the converted model was not kept"


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as client:
        yield client


async def read_events(client: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> list[Any]:
    events = []
    async with client.stream("POST", path, json=body) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"] == "text/event-stream"
        async for line in response.aiter_lines():
            if line.startswith("data:"):
                data = line[5:].strip()
                events.append(data if data == "[DONE]" else json.loads(data))
    return events


@pytest.fixture
def events(http: httpx2.AsyncClient) -> Callable[[str, dict[str, Any]], Any]:
    """Post a request and return all events of its stream."""

    async def read(path: str, body: dict[str, Any]) -> list[Any]:
        return await read_events(http, path, body)

    return read


Check = Callable[[str, str, Any], None]


def _nullable(node: Any) -> Any:
    """Turn OpenAPI 3.0's `nullable` into JSON Schema, and drop its boolean bounds, which are not."""
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _nullable(value) for key, value in node.items() if key not in ("nullable", "example")}
    for bound in ("exclusiveMinimum", "exclusiveMaximum"):
        if isinstance(plain.get(bound), bool):
            del plain[bound]
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain


@pytest.fixture(scope="session")
def conforms() -> Check:
    """Return check(file, schema name, value) against the dialects' own OpenAPI files."""
    if not REFERENCES.is_dir():
        pytest.skip("../shared/references is absent: answers are not checked against TGI's and TEI's OpenAPI")
    documents = {
        name: _nullable(json.loads((REFERENCES / f"{name}-openapi.json").read_text()))
        for name in ("tgi", "tei")
    }

    def check(name: str, schema: str, value: Any) -> None:
        document = {**documents[name], "$ref": f"#/components/schemas/{schema}"}
        jsonschema.Draft202012Validator(document).validate(value)

    return check


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], Any]:
    """Return an answer that a real TGI gave."""
    if not REFERENCES.is_dir():
        pytest.skip("../shared/references is absent: answers are not compared with a real TGI's")
    return lambda name: json.loads((REFERENCES / "tgi-recorded" / f"{name}.json").read_text())

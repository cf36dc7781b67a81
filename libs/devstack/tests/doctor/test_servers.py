"""Real HTTP servers that are wrong in every way in which a model server can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from libs.clients.tests.raw_server import answer, serving
from penstock.devstack.doctor import backends, clock, embeddings
from penstock.devstack.doctor.finding import Finding
from penstock.devstack.doctor.scene import Needs, Scene, Unchecked
from penstock.devstack.network import free_ports
from penstock.devstack.state import StackStatus

MakeScene = Callable[..., Scene]
MakeStatus = Callable[..., StackStatus]
Serve = Callable[[Any], str]


@pytest.fixture
def look(scene: MakeScene, stack: MakeStatus, serve: Serve) -> Callable[..., Any]:
    """What is found about these model servers."""

    async def find(*servers: Any, needs: Needs | None = None) -> list[Finding]:
        urls = ",".join(f"tgi+{serve(server)}" for server in servers)
        return await backends.look(scene(stack(backends=urls), needs))

    return find


async def test_a_server_in_which_nothing_is_wrong(look: Callable[..., Any], tgi: Any) -> None:
    assert await look(tgi) == []


async def test_nobody_listens(scene: MakeScene, stack: MakeStatus) -> None:
    port = free_ports(1)[0]
    [finding] = await backends.look(scene(stack(backends=f"tgi+http://127.0.0.1:{port}")))
    assert (finding.code, finding.severity) == ("backends.unreachable", "error")
    assert str(port) in finding.looked_at


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"/health": (503, b"")}, "backends.unhealthy", "HTTP 503"),
        ({"/info": (401, b"")}, "backends.key", "HTTP 401"),
        ({"/generate": (403, b"")}, "backends.key", "HTTP 403"),
        ({"/info": (200, {"model_id": "", "max_total_tokens": 1})}, "backends.no-model", "no model"),
        ({"/info": (200, {"model_id": "m"})}, "backends.dialect", "no model server"),
        ({"/info": (200, b"<html>")}, "backends.dialect", "no model server"),
        (
            {"/info": (404, b""), "/v1/models": (200, {"data": []})},
            "backends.dialect",
            "OpenAI's dialect only",
        ),
        ({"/generate": (500, {"error": "x"})}, "backends.failing", "HTTP 500"),
        ({"/info": (200, b"x" * (2 << 20))}, "backends.unreachable", "more than 1048576 bytes"),
        ({"/generate": (429, {"error": "x"})}, "backends.slow", "Every slot is taken"),
    ],
)
async def test_a_server_that_is_wrong(
    look: Callable[..., Any], tgi: Any, change: dict[str, Any], code: str, text: str
) -> None:
    [finding] = await look(tgi, tgi.but(answers=tgi.answers | change))
    assert finding.code == code
    assert text in finding.wrong


async def test_the_keys_go_to_the_servers_that_they_are_for(
    scene: MakeScene, stack: MakeStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_BACKEND_KEY", "backend-secret")
    monkeypatch.setenv("PENSTOCK_EMBEDDINGS_KEY", "embeddings-secret")
    info = answer(200, b'{"model_id":"m","max_total_tokens":1}')
    async with (
        serving(answer(200, b""), info, answer(200, b"{}")) as tgi,
        serving(answer(200, b"[[%s]]" % b",".join([b"1"] * 384))) as tei,
    ):
        running = scene(stack(backends=f"tgi+{tgi.url}", embeddings=tei.url))
        assert [*await backends.look(running), *await embeddings.look(running)] == []
    assert [b"authorization: Bearer backend-secret" in request for request in tgi.requests] == [True] * 3
    [request] = tei.requests
    assert b"authorization: Bearer embeddings-secret" in request


async def test_an_embeddings_server_in_its_place(look: Callable[..., Any], tei: Any) -> None:
    [finding] = await look(tei)
    assert finding.code == "backends.dialect"
    assert "PENSTOCK_EMBEDDINGS" in finding.to_do


async def test_one_token_takes_too_long(look: Callable[..., Any], tgi: Any) -> None:
    [finding] = await look(tgi.but(waits_s={"/generate": 0.4}), needs=Needs(answer_s=0.3))
    assert (finding.code, finding.severity) == ("backends.slow", "warning")


async def test_a_server_that_never_answers(look: Callable[..., Any], tgi: Any) -> None:
    needs = Needs(limit_s=4)
    [finding] = await look(tgi.but(waits_s={"/health": 20}), needs=needs)
    assert (finding.code, "nothing within 1.6 s" in finding.wrong) == ("backends.unreachable", True)
    [finding] = await look(tgi.but(waits_s={"/generate": 20}), needs=needs)
    assert (finding.code, "more than 3.2 s" in finding.wrong) == ("backends.slow", True)


async def test_names_on_offer_that_no_server_has(
    look: Callable[..., Any], tgi: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_MODELS", "big-model,small-model")
    [finding] = await look(tgi)
    assert (finding.code, finding.severity) == ("backends.names", "warning")
    assert "offers big-model, but the model servers serve small-model" in finding.wrong


async def test_without_a_stack_the_environment_says_which_servers(
    scene: MakeScene, serve: Serve, tgi: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unchecked, match="PENSTOCK_BACKENDS names no model server"):
        await backends.look(scene())
    monkeypatch.setenv("PENSTOCK_BACKENDS", f"tgi+{serve(tgi.but(answers={}))}")
    assert [one.code for one in await backends.look(scene())] == ["backends.dialect"]


async def test_embeddings(scene: MakeScene, stack: MakeStatus, serve: Serve, tei: Any) -> None:
    async def found(answers: dict[str, Any]) -> Finding | None:
        url = serve(tei.but(answers=answers))
        findings = await embeddings.look(scene(stack(embeddings=url)))
        return findings[0] if findings else None

    assert await found(tei.answers) is None
    refused = await found(tei.answers | {"/embed": (424, {"error": "x"})})
    assert refused
    assert (refused.code, "HTTP 424" in refused.wrong) == ("embeddings.unusable", True)
    locked = await found(tei.answers | {"/embed": (401, b"")})
    assert locked
    assert (locked.code, "HTTP 401" in locked.wrong) == ("embeddings.key", True)
    other = await found(tei.answers | {"/embed": (200, {"vectors": []})})
    assert other
    assert (other.code, "no list of vectors" in other.wrong) == ("embeddings.unusable", True)
    longer = await found(tei.answers | {"/embed": (200, [[0.5] * 768])})
    assert longer
    assert (longer.code, longer.severity) == ("embeddings.size", "error")
    assert "768 numbers, PENSTOCK_EMBEDDING_SIZE says 384" in longer.wrong


async def test_no_embeddings_server(scene: MakeScene, stack: MakeStatus) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    [finding] = await embeddings.look(scene(stack(embeddings=url)))
    assert (finding.code, finding.severity) == ("embeddings.unreachable", "error")


async def test_an_index_that_was_made_for_other_vectors(
    scene: MakeScene, stack: MakeStatus, serve: Serve, tei: Any
) -> None:
    from penstock.retrieval.adapters.edge_home import EdgeHome

    at = scene(stack(embeddings=serve(tei)))
    home = EdgeHome(at.state.folder / "index", 384)
    await home.open()
    await home.close()
    assert await embeddings.look(at) == []  # the index that retrieval makes, read as doctor reads it
    other = EdgeHome(at.state.folder / "index", 512)
    await other.adopt(await other.begin())
    await other.close()
    [finding] = await embeddings.look(at)
    assert finding.code == "embeddings.size"
    assert "384 numbers, the index was made for 512" in finding.wrong


@pytest.mark.parametrize(("ahead_s", "way"), [(3600, "ahead of"), (-600, "behind")])
async def test_a_server_whose_clock_is_wrong(
    scene: MakeScene, stack: MakeStatus, serve: Serve, tgi: Any, tei: Any, ahead_s: float, way: str
) -> None:
    right, wrong = serve(tei), serve(tgi.but(ahead_s=ahead_s))
    [finding] = await clock.look(scene(stack(backends=f"tgi+{wrong}", embeddings=right)))
    assert (finding.code, finding.severity) == ("clock.server", "warning")
    assert wrong in finding.looked_at
    assert f"s {way} this machine's" in finding.wrong

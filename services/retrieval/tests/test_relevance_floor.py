"""The floor is that of the model that embeds."""

import asyncio

import pytest
from structlog.testing import capture_logs

from penstock.clients.models import EmbeddingProfile, Models
from penstock.retrieval import relevance_floor
from penstock.retrieval.relevance_floor import UNKNOWN_MODEL, RelevanceFloor
from penstock.streaming.errors import TransientError

MODELS = Models(
    embeddings=[
        EmbeddingProfile(names=("a/*",), relevance_floor=0.4),
        EmbeddingProfile(names=("*/e5",), relevance_floor=0.8),
    ]
)


class Server:
    """A server of embeddings, which may be away."""

    model = "a/small"
    away = False

    def __init__(self) -> None:
        self.floor = RelevanceFloor(self.model_id, MODELS)

    async def model_id(self) -> str:
        if self.away:
            raise TransientError("embeddings_unavailable", "away")
        return self.model


async def test_a_server_that_is_away_leaves_it_as_it_was() -> None:
    server = Server()
    server.away = True
    assert not await server.floor.look_up()
    assert server.floor.value == UNKNOWN_MODEL
    server.away = False
    assert await server.floor.look_up()
    assert server.floor.value == 0.4
    server.away = True
    await server.floor.look_up()
    assert server.floor.value == 0.4


async def test_another_model_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOKED_UP_EVERY_S", "RETRY_S"):
        monkeypatch.setattr(relevance_floor, name, 0.001)
    server, stop = Server(), asyncio.Event()
    server.away = True
    following = asyncio.create_task(server.floor.run(stop))
    for model, floor in (("a/small", 0.4), ("b/e5", 0.8)):
        server.model, server.away = model, False
        async with asyncio.timeout(5):
            while server.floor.value != floor:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.001)
    stop.set()
    await following


async def test_a_model_that_nobody_has_measured_is_told() -> None:
    server = Server()
    server.model = "unheard/of"
    with capture_logs() as logged:
        await server.floor.look_up()
    assert server.floor.value == UNKNOWN_MODEL
    assert [(one["model"], one["known"]) for one in logged] == [("unheard/of", False)]

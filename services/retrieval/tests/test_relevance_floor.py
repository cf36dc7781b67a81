"""The floor is that of the model that embeds."""

from structlog.testing import capture_logs

from penstock.clients.models import EmbeddingProfile, Models
from penstock.retrieval.relevance_floor import LOOKED_UP_S, UNKNOWN_MODEL, RelevanceFloor
from penstock.streaming.errors import TransientError

MODELS = Models(
    embeddings=[
        EmbeddingProfile(names=("a/*",), relevance_floor=0.4),
        EmbeddingProfile(names=("*/e5",), relevance_floor=0.8),
    ]
)


class Server:
    """A server of embeddings, which may be away, and a clock."""

    model = "a/small"
    away = False
    asked = 0
    now = 0.0

    def __init__(self) -> None:
        self.floor = RelevanceFloor(self.model_id, MODELS, lambda: self.now)

    async def model_id(self) -> str:
        self.asked += 1
        if self.away:
            raise TransientError("embeddings_unavailable", "away")
        return self.model


async def test_it_is_looked_up_once_in_a_while() -> None:
    server = Server()
    assert [await server.floor.get() for _ in range(5)] == [0.4] * 5
    assert server.asked == 1
    server.model = "b/e5"
    assert await server.floor.get() == 0.4
    server.now += LOOKED_UP_S
    assert await server.floor.get() == 0.8


async def test_a_server_that_is_away_leaves_it_as_it_was() -> None:
    server = Server()
    server.away = True
    assert await server.floor.get() == UNKNOWN_MODEL
    server.away = False
    assert await server.floor.get() == 0.4
    server.away, server.now = True, LOOKED_UP_S
    assert await server.floor.get() == 0.4


async def test_a_model_that_nobody_has_measured_is_told() -> None:
    server = Server()
    server.model = "unheard/of"
    with capture_logs() as logged:
        assert await server.floor.get() == UNKNOWN_MODEL
    assert [(one["model"], one["known"]) for one in logged] == [("unheard/of", False)]

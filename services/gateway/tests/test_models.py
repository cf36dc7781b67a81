"""Which models are on offer: named, or asked from backends that come and go."""

import asyncio

import pytest

from libs.clients.tests.raw_server import Answer, answer, serving
from penstock.gateway.adapters.tgi import TgiBackend
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.models import Models
from penstock.gateway.ports import BackendAway
from penstock.gateway.settings import Settings
from penstock.telemetry.readiness import Readiness


class Played:
    """Port: Backend. Serves `serving`, or is away while that is None."""

    def __init__(self, name: str, serving: str | None) -> None:
        self.name = name
        self.serving = serving

    async def models(self) -> list[str]:
        if self.serving is None:
            raise BackendAway(f"{self.name}: away")
        return [self.serving]


async def test_nothing_is_offered_until_a_backend_answers() -> None:
    backend = Played("a", None)
    models = Models([], [backend], lambda: 5)
    readiness = Readiness("backends")
    running = asyncio.create_task(models.run(readiness, refresh_s=0.01, retry_s=0.01))
    while readiness.waiting_for != ["backends: a: away"]:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0)
    with pytest.raises(ApiError) as raised:
        models.find("m")
    assert raised.value.status == 503
    backend.serving = "m"
    while not readiness.is_ready:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0)
    assert models.find("m").created == 5
    running.cancel()


async def test_what_a_backend_served_is_kept_while_it_is_away() -> None:
    first, second = Played("a", "m1"), Played("b", "m2")
    models = Models([], [first, second], lambda: 5)
    await models.refresh()
    first.serving = None
    assert await models.refresh() == ["a: away"]
    assert models.names == ["m1", "m2"]
    first.serving = "m3"
    second.serving = "m3"
    await models.refresh()
    assert models.names == ["m3"]
    with pytest.raises(ApiError) as raised:
        models.find("m1")
    assert raised.value.code == "model_not_found"


async def test_named_models_need_no_backend() -> None:
    readiness = Readiness("backends")
    models = Models(["x", "y"], [Played("a", None)], lambda: 5)
    await models.run(readiness)
    assert readiness.is_ready
    assert [model.id for model in models.listed().data] == ["x", "y"]


@pytest.mark.parametrize(
    ("given", "result"),
    [
        (answer(200, b'{"model_id": "org/m", "version": "3"}'), ["org/m"]),
        (answer(503, b""), "503"),
        (answer(401, b""), "it wants a key"),
        (answer(200, b"<html>"), "/info answers something else"),
        (answer(200, b"{}"), "/info answers something else"),
        ([b""], "no answer"),
    ],
)
async def test_tgi_is_asked_for_its_model(given: Answer, result: list[str] | str) -> None:
    async with serving(given, closes=True) as server:
        backend = TgiBackend(server.url)
        if isinstance(result, list):
            assert await backend.models() == result
        else:
            with pytest.raises(BackendAway, match=result):
                await backend.models()
        await backend.close()
    assert server.requests[0].startswith(b"GET /info ")


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_BACKENDS", "tgi+http://a:1/, tgi+https://b:2")
    monkeypatch.setenv("PENSTOCK_MODELS", "one, two,")
    monkeypatch.setenv("PENSTOCK_KAFKA", "")
    settings = Settings()
    assert [backend.url for backend in settings.backends] == ["http://a:1", "https://b:2"]
    assert settings.models == ["one", "two"]
    assert settings.kafka == "127.0.0.1:9092"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PENSTOCK_BACKENDS", "http://a:1", "PENSTOCK_BACKENDS is not usable: "),
        (
            "PENSTOCK_KAFKA_PROTOCOL",
            "SASL_SSL",
            "PENSTOCK_KAFKA_PROTOCOL=SASL_SSL needs PENSTOCK_KAFKA_USER\n",
        ),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, told: str
) -> None:
    from penstock.gateway.main import main

    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(told)
    assert said.count("\n") == 1

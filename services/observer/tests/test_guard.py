"""Who may call the views: callers with the observer's key; OTLP is taken from everybody."""

from pathlib import Path

import httpx2
import pytest

from penstock.observer.settings import Settings
from services.observer.tests.stand import KEY, OTLP, Console, Line, MemoryLog, export, serving, span, who

OPERATOR = {"penstock-operator": "1"}
LETTER = "/console/api/dead_letters/chat.requests/0"
VIEWS = [
    ("GET", "/console/api/requests"),
    ("GET", "/console/api/requests/stream"),
    ("GET", "/console/api/requests/019ab697-e87b-7005-8f3c-5d2a9b1c4e6f"),
    ("GET", "/console/api/pipeline"),
    ("GET", "/console/api/pipeline/stream"),
    ("GET", "/console/api/dead_letters"),
    ("GET", f"{LETTER}?body=1"),
    ("DELETE", LETTER),
    ("POST", f"{LETTER}/replay"),
    ("GET", "/console/api/usage"),
    ("GET", "/console/api/nothing"),
]


def refusal(response: httpx2.Response) -> tuple[int, str]:
    """Status and code; the message names the setting."""
    error = response.json()["error"]
    assert "PENSTOCK_OBSERVER_KEY" in error["message"]
    return response.status_code, error["code"]


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ({}, "observer_key_missing"),  # a gateway of an older release
        ({"authorization": "Bearer other"}, "observer_key_invalid"),
        ({"authorization": KEY}, "observer_key_invalid"),
        ({"authorization": b"Bearer \xff"}, "observer_key_invalid"),
    ],
)
async def test_views_refuse_callers_without_the_key(
    console: Console, line: Line, authorization: dict[str, str], code: str
) -> None:
    await line.bury(body=b"what a user has written")
    for method, path in VIEWS:
        response = await console.client.request(method, path, headers=OPERATOR | authorization)
        assert refusal(response) == (403, code)
    letters = (await console.get("dead_letters")).json()["letters"]
    assert len(letters) == 1  # nobody has dropped it


async def test_who_may_only_export_spans_sees_nothing(console: Console) -> None:
    done = await console.client.post("/v1/traces", content=export(span(1, 1)), headers=OTLP)
    assert done.status_code == 200
    assert (await console.client.get("/readyz")).status_code == 200
    assert refusal(await console.client.get("/console/api/usage", headers=OPERATOR))[0] == 403


async def test_without_a_key_the_views_are_closed_and_otlp_is_taken(log: MemoryLog, tmp_path: Path) -> None:
    async with serving(log, Settings(state=tmp_path, observer_port=0)) as console:
        await console.spans(span(1, 1))
        for method, path in VIEWS:
            response = await console.client.request(method, path, headers=who(""))
            assert refusal(response) == (503, "not_configured")


def test_the_key_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    key = Settings(observer_key_file=file).key_of_observer
    assert key
    assert key.get_secret_value() == KEY
    for wrong in ({"observer_key": "two words"}, {"observer_key": "a", "observer_key_file": file}):
        with pytest.raises(ValueError, match="PENSTOCK_OBSERVER_KEY"):
            Settings.model_validate(wrong)

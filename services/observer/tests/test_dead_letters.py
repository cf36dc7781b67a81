"""Dead letters over HTTP."""

from typing import Any

import pytest

from penstock.messages.codec import encode
from penstock.messages.topics import CHAT_REQUESTS
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.ports import BrokerError
from services.observer.tests.stand import CONTENT, Console, Line, MemoryLog, asked, who

LETTERS = "/console/api/dead_letters"


async def page(console: Console, **parameters: Any) -> tuple[list[str], int, str | None]:
    body = (await console.get("dead_letters", **parameters)).json()
    return [letter["request_id"] for letter in body["letters"]], body["total"], body["next"]


async def test_they_are_listed_newest_first_and_page_by_page(console: Console, line: Line) -> None:
    for number in range(5):
        await line.bury(f"r{number}", error="odd" if number % 2 else "even")
    first, total, following = await page(console, limit=2)
    assert (first, total, following) == (["r4", "r3"], 5, "chat.requests/3")
    second, total, following = await page(console, limit=2, before=following)
    assert (second, total, following) == (["r2", "r1"], 5, "chat.requests/1")
    assert await page(console, limit=2, before=following) == (["r0"], 5, None)
    assert await page(console, error="ODD") == (["r3", "r1"], 2, None)
    assert await page(console, topic="chat.requests.dlq", tenant="acme") == (
        ["r4", "r3", "r2", "r1", "r0"],
        5,
        None,
    )
    assert await page(console, tenant="globex") == ([], 0, None)
    assert await page(console, topic="chat.responses") == ([], 0, None)


async def test_one_is_shown_with_its_body_only_if_asked_for(console: Console, line: Line) -> None:
    await line.bury("r", body=encode(asked()))
    letter = (await console.get("dead_letters/chat.requests/0")).json()
    assert (letter["topic"], letter["offset"], letter["stage"], letter["error"]) == (
        "chat.requests",
        0,
        "tokenization",
        "no JSON",
    )
    assert (letter["tenant"], letter["body"], letter["bytes"]) == ("acme", None, len(encode(asked())))
    assert letter["headers"]["dlq_partition"] == "3"
    whole = (await console.get("dead_letters/chat.requests.dlq/0", body=1)).json()
    assert CONTENT in whole["body"]


async def test_one_is_sent_again_once(console: Console, line: Line, broker: MemoryBroker) -> None:
    await line.bury("r", body=encode(asked()))
    done = await console.client.post(
        f"{LETTERS}/chat.requests/0/replay", json={"force": False}, headers=who("")
    )
    assert (done.status_code, done.json()) == (200, {"offset": 0})
    assert [record.key for record in broker.log(CHAT_REQUESTS.name)] == [b"r"]
    again = await console.client.post(f"{LETTERS}/chat.requests/0/replay", headers=who(""))
    assert (again.status_code, again.json()["error"]["message"]) == (409, "It was replayed before.")
    assert await page(console) == ([], 0, None)


async def test_one_that_is_still_wrong_is_refused_unless_forced(
    console: Console, line: Line, broker: MemoryBroker
) -> None:
    await line.bury("r", body=b"{}")
    url = f"{LETTERS}/chat.requests/0/replay"
    refused = await console.client.post(url, headers=who(""))
    assert refused.status_code == 409
    assert "model" in refused.json()["error"]["message"]
    assert broker.log(CHAT_REQUESTS.name) == []
    forced = await console.client.post(url, json={"force": True}, headers=who(""))
    assert forced.status_code == 200
    assert len(broker.log(CHAT_REQUESTS.name)) == 1


async def test_one_is_dropped_once(console: Console, line: Line, broker: MemoryBroker) -> None:
    await line.bury("r")
    assert (await console.client.delete(f"{LETTERS}/chat.requests/0", headers=who(""))).status_code == 204
    assert (await console.client.delete(f"{LETTERS}/chat.requests/0", headers=who(""))).status_code == 409
    assert (await page(console), broker.log(CHAT_REQUESTS.name)) == (([], 0, None), [])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/chat.requests/0", 404),
        ("GET", "/chat.nonsense/0", 404),
        ("GET", "/chat.requests/x", 400),
        ("GET", "/chat.requests/-1", 400),
        ("DELETE", "/chat.requests/17", 404),
        ("POST", "/chat.requests/17/replay", 404),
        ("GET", "?topic=chat.nonsense", 400),
        ("GET", "?limit=0", 400),
        ("GET", "?limit=501", 400),
        ("GET", "?before=chat.requests/99", 400),
        ("GET", f"?error={'x' * 300}", 400),
    ],
)
async def test_what_cannot_be_asked(console: Console, method: str, path: str, status: int) -> None:
    done = await console.client.request(method, f"{LETTERS}{path}", headers=who(""))
    assert done.status_code == status
    assert done.json()["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b'{"force": 1}', 400), (b'{"x": 1}', 400), (b"x" * 5_000, 413)]
)
async def test_bodies_of_replays_are_checked(console: Console, line: Line, body: bytes, status: int) -> None:
    await line.bury("r", body=encode(asked()))
    done = await console.client.post(f"{LETTERS}/chat.requests/0/replay", content=body, headers=who(""))
    assert done.status_code == status


async def test_a_broker_that_is_away_is_told(console: Console, log: MemoryLog) -> None:
    log.away = BrokerError("gone")
    done = await console.get("dead_letters")
    assert (done.status_code, done.json()["error"]["code"]) == (503, "not_ready")

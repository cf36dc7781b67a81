"""Signing in to the console: a cookie stands for a key, for a time, and for the console's page only."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from penstock.database.database import Database
from penstock.gateway.adapters.accounts import SqlAccounts
from penstock.gateway.adapters.sessions import SqlSessions
from penstock.gateway.attempts import LIMIT, WINDOW_S
from penstock.gateway.domain import keys
from penstock.gateway.domain.caller import Caller
from penstock.gateway.ports import AccountsAway
from penstock.gateway.sessions import Sessions

ME = "/console/api/me"
OURS = {"penstock-console": "1"}
Browser = Callable[[Any], httpx2.AsyncClient]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Gives clients that keep cookies, as browsers do, and nothing else."""
    async with AsyncExitStack() as stack:
        opened: list[httpx2.AsyncClient] = []

        def start(stand: Any) -> httpx2.AsyncClient:
            opened.append(httpx2.AsyncClient(base_url=stand.url, trust_env=False, timeout=20))
            stack.push_async_callback(opened[-1].aclose)
            return opened[-1]

        yield start


async def sign_in(client: httpx2.AsyncClient, key: str, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/console/session", json={"key": key}, headers=named)


def code(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def attributes(response: httpx2.Response) -> dict[str, str]:
    """Return the attributes of the one cookie that a response sets, its value as `penstock_session`."""
    [cookie] = response.headers.get_list("set-cookie")
    pairs = [part.strip().partition("=") for part in cookie.split(";")]
    return {name.lower(): value for name, _, value in pairs}


async def test_a_key_opens_a_session(stand: Any, browser: Browser) -> None:
    client = browser(stand)
    assert code(await client.get(ME)) == (401, "invalid_api_key")
    nobody = await client.get("/console/session")
    assert (nobody.status_code, nobody.content) == (204, b"")
    response = await sign_in(client, f" {stand.key}\n")
    assert (response.status_code, response.content) == (204, b"")
    cookie = attributes(response)
    assert len(cookie.pop("penstock_session")) == 43
    assert cookie == {"httponly": "", "samesite": "strict", "path": "/", "max-age": "43200"}
    who = {"tenant": "default", "operator": True, "api_key": stand.key[:10]}
    assert (await client.get(ME)).json() == (await client.get("/console/session")).json() == who
    assert (await client.get("/v1/models")).status_code == 200
    assert response.headers["cache-control"] == "no-store"


async def test_signing_out_ends_it_at_once(stand: Any, browser: Browser) -> None:
    client = browser(stand)
    await sign_in(client, stand.key)
    cookie = {"cookie": f"penstock_session={client.cookies['penstock_session']}"}
    assert (await client.get(ME)).status_code == 200
    response = await client.delete("/console/session")
    assert response.status_code == 204
    assert attributes(response)["max-age"] == "0"
    assert not client.cookies
    assert code(await client.get(ME, headers=cookie)) == (401, "invalid_api_key")
    assert (await client.get("/console/session", headers=cookie)).status_code == 204
    assert (await client.delete("/console/session")).status_code == 204


async def test_signing_in_anew_ends_the_session_before(stand: Any, browser: Browser) -> None:
    client = browser(stand)
    await sign_in(client, stand.key)
    before = {"cookie": f"penstock_session={client.cookies['penstock_session']}"}
    await sign_in(client, await stand.new_key("acme"))
    assert (await client.get(ME)).json()["tenant"] == "acme"
    assert (await browser(stand).get(ME, headers=before)).status_code == 401


async def test_nobody_can_read_a_token_in_the_database(stand: Any, browser: Browser, tmp_path: Path) -> None:
    client = browser(stand)
    await sign_in(client, stand.key)
    token = client.cookies["penstock_session"]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "gateway").iterdir())
    assert token.encode() not in kept
    assert keys.digest_of(token).encode() in kept


async def test_another_page_can_change_nothing(stand: Any, browser: Browser, kit: Any) -> None:
    client = browser(stand)
    await sign_in(client, stand.key)
    places = (
        "/v1/chat/completions",
        "/v1/files",
        "/console/api/markdown",
        "/console/api/dead_letters/t/0/replay",
    )
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for place in places:
            for headers in ({}, {"penstock-console": "0"}, {"origin": "http://127.0.0.1:3000"}):
                response = await client.request(method, place, headers=headers, content=b"{}")
                assert code(response) == (403, "console_header_missing")
    asking = asyncio.create_task(client.post("/v1/chat/completions", json=kit.body(), headers=OURS))
    await stand.answer("yes")
    assert (await asking).json()["choices"][0]["message"]["content"] == "yes"


async def test_no_other_page_may_send_the_header(stand: Any, browser: Browser) -> None:
    # A browser asks before it sends a header of this kind for another page (WHATWG Fetch, CORS-preflight).
    asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    asked["access-control-request-headers"] = "penstock-console"
    for place in ("/v1/chat/completions", "/console/api/markdown", "/console/session"):
        response = await browser(stand).options(place, headers=asked)
        assert response.status_code >= 400
        assert not any(name.startswith("access-control-") for name in response.headers)


async def test_a_key_wins_over_the_cookie(stand: Any, browser: Browser) -> None:
    client = browser(stand)
    await sign_in(client, stand.key)
    other = await stand.new_key("acme")
    mine = await client.get(ME, headers={"authorization": f"Bearer {other}"})
    assert mine.json() == {"tenant": "acme", "operator": False, "api_key": other[:10]}
    wrong = await client.get(ME, headers={"authorization": f"Bearer {keys.new_key()}"})
    assert code(wrong) == (401, "invalid_api_key")
    rendered = await client.post(
        "/console/api/markdown", json={"text": "*a*"}, headers={"authorization": f"Bearer {other}"}
    )
    assert rendered.status_code == 200  # a key is no cookie: no other page can send it
    # What a proxy asks of a browser is no key of ours.
    assert (await client.get(ME, headers={"authorization": "Basic YTpi"})).json()["tenant"] == "default"


async def test_cookies_that_are_no_session(stand: Any, browser: Browser) -> None:
    client = browser(stand)
    await sign_in(client, stand.key)
    token = client.cookies["penstock_session"]
    for cookie in (
        "",
        token,
        f"penstock_session={token}x",
        f"x_penstock_session={token}",
        "penstock_session=",
    ):
        given = {"cookie": cookie}
        assert code(await browser(stand).get(ME, headers=given)) == (401, "invalid_api_key"), cookie


async def test_the_cookie_is_found_among_others(stand: Any, browser: Browser) -> None:
    client = browser(stand)
    await sign_in(client, stand.key)
    given = f"a=b; penstock_session={client.cookies['penstock_session']};c"
    assert (await browser(stand).get(ME, headers={"cookie": given})).status_code == 200


async def test_a_revoked_key_ends_its_sessions(start_stand: Any, browser: Browser) -> None:
    stand = await start_stand(key_cache_s=0.01)
    client, other = browser(stand), browser(stand)
    key = await stand.new_key("acme")
    await sign_in(client, key)
    await sign_in(other, stand.key)
    assert (await client.get(ME)).status_code == 200
    await stand.gateway.accounts.revoke(keys.digest_of(key))
    async with asyncio.timeout(10):
        while (await client.get(ME)).status_code != 401:
            continue
    assert (await other.get(ME)).status_code == 200
    assert code(await sign_in(client, key)) == (401, "invalid_api_key")


async def test_wrong_keys_are_counted(
    stand: Any, browser: Browser, capfd: pytest.CaptureFixture[str]
) -> None:
    client = browser(stand)
    wrong = [keys.new_key() for _ in range(3 * LIMIT)]
    responses = await asyncio.gather(*(sign_in(client, key) for key in wrong))
    assert sorted(response.status_code for response in responses) == [401] * LIMIT + [429] * 2 * LIMIT
    refused = await sign_in(client, stand.key)
    assert code(refused) == (429, "rate_limit_exceeded")
    assert 0 < int(refused.headers["retry-after"]) <= WINDOW_S
    assert (await client.get("/v1/models", headers=stand.auth)).status_code == 200
    written = capfd.readouterr()
    assert not any(key in written.out + written.err for key in wrong)


async def test_right_keys_are_not_counted(stand: Any, browser: Browser) -> None:
    client = browser(stand)
    for _ in range(2 * LIMIT):
        assert (await sign_in(client, stand.key)).status_code == 204


NO_SIGN_INS: list[tuple[bytes, str | None, tuple[int, str]]] = [
    (b"{", "application/json", (400, "invalid_json")),
    (b"{}", "application/json", (400, "missing_required_parameter")),
    (b'{"key": 5}', "application/json", (400, "invalid_value")),
    (b'{"key": "a", "tenant": "b"}', "application/json", (400, "unknown_parameter")),
    (b'{"key": "\xff"}', "application/json", (400, "invalid_json")),
    (json.dumps({"key": "x" * 5000}).encode(), "application/json", (413, "request_too_large")),
    (b'{"key": "a"}', "application/json", (401, "invalid_api_key")),
    (b'{"key": "a"}', "text/plain", (415, "unsupported_media_type")),
    (b"key=a", "application/x-www-form-urlencoded", (415, "unsupported_media_type")),
    (b'{"key": "a"}', None, (415, "unsupported_media_type")),
]


async def test_sign_ins_that_are_none(stand: Any, browser: Browser) -> None:
    for content, media, wanted in NO_SIGN_INS:
        headers = {} if media is None else {"content-type": media}
        response = await browser(stand).post("/console/session", content=content, headers=headers)
        assert code(response) == wanted
        assert "set-cookie" not in response.headers


async def test_over_https_the_cookie_stays_there(start_stand: Any, browser: Browser) -> None:
    said = {"x_forwarded_proto": "https", "x_forwarded_for": "192.0.2.1"}
    stand = await start_stand(trusted_proxies="127.0.0.1")
    assert "secure" in attributes(await sign_in(browser(stand), stand.key, **said))
    assert "secure" not in attributes(await sign_in(browser(stand), stand.key))
    # The proxy says who the client is: others are not counted with it.
    for _ in range(LIMIT + 1):
        last = await sign_in(browser(stand), keys.new_key(), **said)
    assert last.status_code == 429
    assert (await sign_in(browser(stand), stand.key, x_forwarded_for="192.0.2.2")).status_code == 204


async def test_who_is_no_proxy_of_ours_is_not_believed(stand: Any, browser: Browser) -> None:
    response = await sign_in(browser(stand), stand.key, x_forwarded_proto="https")
    assert "secure" not in attributes(response)
    for n in range(LIMIT + 1):
        last = await sign_in(browser(stand), keys.new_key(), x_forwarded_for=f"192.0.2.{n}")
    assert last.status_code == 429


async def test_sessions_are_known_at_every_gateway(pair: tuple[Any, Any], browser: Browser) -> None:
    client = browser(pair[0])
    await sign_in(client, pair[0].key)
    cookie = {"cookie": f"penstock_session={client.cookies['penstock_session']}"}
    assert (await browser(pair[1]).get(ME, headers=cookie)).status_code == 200


async def test_a_database_that_is_away(stand: Any, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> Any:
        raise AccountsAway("accounts database: gone")

    client = browser(stand)
    store = stand.gateway.sessions
    with monkeypatch.context() as patched:
        patched.setattr(store, "add", away)
        for _ in range(2 * LIMIT):  # nobody's fault, so nobody's attempt
            assert code(await sign_in(client, stand.key)) == (503, "not_ready")
    assert (await sign_in(client, stand.key)).status_code == 204
    monkeypatch.setattr(store, "remove", away)
    assert code(await client.delete("/console/session")) == (503, "not_ready")


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def utc(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(database: Database) -> SqlAccounts:
    return SqlAccounts(database)


async def test_a_session_ends_by_itself(accounts: SqlAccounts, database: Database, clock: Clock) -> None:
    store = SqlSessions(database, timedelta(hours=12), clock.utc)
    sessions = Sessions(store, clock, ttl_s=10)
    key = keys.new_key()
    await accounts.register("acme", keys.record_of(key))
    token = await sessions.open(key, "192.0.2.1")
    assert token is not None
    clock.seconds = 12 * 3600 - 1
    assert await sessions.caller_of(token) == Caller("acme", False, key[:10])
    clock.seconds = 12 * 3600 + 10
    assert await sessions.caller_of(token) is None
    await sessions.open(key, "192.0.2.1")
    assert await store.forget_old() == 1
    async with database.reading() as connection:
        assert (await connection.execute(text("select count(*) from console_sessions"))).scalar() == 1


async def test_a_session_needs_a_key_that_is_valid(
    accounts: SqlAccounts, database: Database, clock: Clock
) -> None:
    store = SqlSessions(database, timedelta(hours=12), clock.utc)
    key = keys.record_of(keys.new_key())
    assert not await store.add(key.digest, "d")
    await accounts.register("acme", key, operator=True)
    assert await store.add(key.digest, "d")
    assert await store.caller_of("d") == Caller("acme", True, key.prefix)
    await accounts.revoke(key.digest)
    assert not await store.add(key.digest, "e")
    assert await store.caller_of("d") is None
    assert await store.caller_of("e") is None
    await store.remove("d")
    await store.remove("d")

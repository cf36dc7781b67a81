"""The transport of all services, when a connection is lost while it is made."""

import httpx2
import pytest

from penstock.telemetry.http import Transport


async def test_a_connection_lost_while_it_is_made_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(_transport: object, _request: object) -> httpx2.Response:
        gone = None
        return gone.getpeername()  # type: ignore[attr-defined,no-any-return]  # as anyio does

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", lost)
    async with httpx2.AsyncClient(transport=Transport()) as client:
        with pytest.raises(httpx2.ConnectError, match="lost while it was made"):
            await client.get("http://127.0.0.1:1/")


async def test_other_faults_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    async def faulty(_transport: object, _request: object) -> httpx2.Response:
        raise AttributeError(name="something")

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", faulty)
    async with httpx2.AsyncClient(transport=Transport()) as client:
        with pytest.raises(AttributeError):
            await client.get("http://127.0.0.1:1/")

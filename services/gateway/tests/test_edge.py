"""What every route does: ids, keys, errors in OpenAI's shape, limits kept while a body arrives."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from penstock.gateway.domain import keys
from penstock.messages import ids


def error_of(response: Any, status: int, code: str) -> dict[str, Any]:
    """Check that a response tells an error as OpenAI does, and return it."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert ids.created_ms(response.headers["x-request-id"]) > 0
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["code"] == code
    error: dict[str, Any] = body["error"]
    return error


WRONG_KEYS = [None, "", "Bearer", "Basic abc", "Bearer nonsense", f"Bearer {keys.new_key()}", "Bearer ä"]


async def test_no_key_no_answer(stand: Any) -> None:
    for path in ("models", "chat/completions", "nothing/here"):
        for header in WRONG_KEYS:
            headers = {} if header is None else {"authorization": header.encode()}
            response = await stand.client.post(f"{stand.url}/v1/{path}", headers=headers, content=b"{}")
            error = error_of(response, 401, "invalid_api_key")
            assert error["type"] == "invalid_request_error"
            assert response.headers["www-authenticate"] == "Bearer"


async def test_wrong_keys_are_not_logged(stand: Any, capfd: pytest.CaptureFixture[str]) -> None:
    key = keys.new_key()
    await stand.client.get(f"{stand.url}/v1/models", headers={"authorization": f"Bearer {key}"})
    written = capfd.readouterr()
    assert key not in written.out + written.err


async def test_the_scheme_is_written_as_one_likes(stand: Any) -> None:
    response = await stand.client.get(
        f"{stand.url}/v1/models", headers={"authorization": f"bearer  {stand.key}"}
    )
    assert response.status_code == 200
    assert response.headers["x-request-id"]


async def test_probes_are_open(stand: Any) -> None:
    assert (await stand.client.get(f"{stand.url}/livez")).status_code == 200
    ready = await stand.client.get(f"{stand.url}/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "waiting_for": []})


async def test_unknown_places_and_methods(stand: Any) -> None:
    response = await stand.client.get(f"{stand.url}/v1/embeddings", headers=stand.auth)
    assert "/v1/embeddings" in error_of(response, 404, "unknown_url")["message"]
    response = await stand.client.get(f"{stand.url}/v1/chat/completions", headers=stand.auth)
    error_of(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


async def test_a_model_nobody_serves(stand: Any, kit: Any) -> None:
    error = error_of(await stand.ask(kit.body(model="gpt-9")), 404, "model_not_found")
    assert error["param"] == "model"
    assert kit.model in error["message"]


async def test_malformed_and_invalid_bodies(stand: Any, kit: Any) -> None:
    error_of(await stand.ask(b'{"model": '), 400, "invalid_json")
    error = error_of(await stand.ask(kit.body(max_tokens=0)), 400, "invalid_value")
    assert error["param"] == "max_tokens"
    error = error_of(await stand.ask(kit.body(tools=[{"type": "function"}])), 400, "unsupported_parameter")
    assert error["param"] == "tools"


async def test_bodies_that_are_no_json_by_their_header(stand: Any) -> None:
    for headers in (
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-encoding": "gzip"},
    ):
        error_of(await stand.ask(headers=headers), 415, "unsupported_media_type")


async def test_two_megabytes_are_too_much(stand: Any, kit: Any) -> None:
    body = kit.body(messages=[{"role": "user", "content": "x" * 2_000_000}])
    error = error_of(await stand.ask(body), 413, "request_too_large")
    assert "1048576" in error["message"]


async def test_the_limit_is_exact(start_stand: Any, kit: Any) -> None:
    body = json.dumps(kit.body()).encode()
    stand = await start_stand(max_body_bytes=len(body) + 5)
    asking = asyncio.create_task(stand.ask(body + b" " * 5))
    await stand.answer("yes")
    assert (await asking).status_code == 200
    error_of(await stand.ask(body + b" " * 6), 413, "request_too_large")


async def test_a_body_without_length_is_cut_while_it_arrives(start_stand: Any) -> None:
    stand = await start_stand(max_body_bytes=1000)
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {stand.key}\r\n"
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    )
    for _ in range(3):  # and more to come
        writer.write(b"1f4\r\n" + b"x" * 500 + b"\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")
        assert b"request_too_large" in await reader.readuntil(b"}}")
    writer.close()
    assert stand.gateway.service.buffered.used == 0


async def test_a_chunked_body_within_the_limit_is_taken(stand: Any, kit: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for byte in json.dumps(kit.body()).encode():
            yield bytes([byte])

    asking = asyncio.create_task(
        stand.client.post(
            f"{stand.url}/v1/chat/completions",
            content=pieces(),
            headers={**stand.auth, "content-type": "application/json"},
        )
    )
    await stand.answer("yes")
    assert (await asking).json()["choices"][0]["message"]["content"] == "yes"


async def test_a_body_that_does_not_come(start_stand: Any) -> None:
    stand = await start_stand(body_timeout_s=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {stand.key}\r\n"
        f'content-length: 100\r\n\r\n{{"model"'.encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408")
    assert b"request_timeout" in await reader.read()  # to its end: the connection is closed
    writer.close()
    assert stand.gateway.service.open_requests.used == 0


async def test_more_open_requests_than_allowed(start_stand: Any, kit: Any) -> None:
    stand = await start_stand(max_open_requests=1)
    asking = asyncio.create_task(stand.ask(kit.body(stream=True)))
    cause = (await stand.question()).envelope
    response = await stand.ask()
    error = error_of(response, 429, "rate_limit_exceeded")
    assert error["type"] == "rate_limit_error"
    assert int(response.headers["retry-after"]) > 0
    await stand.say(cause, *kit.events("yes"))
    assert (await asking).status_code == 200

    asking = asyncio.create_task(stand.ask())
    await stand.answer("free again")
    assert (await asking).status_code == 200


async def test_a_bug_is_an_error_of_ours(stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret prompt")

    monkeypatch.setattr(stand.gateway.models, "find", broken)
    response = await stand.ask()
    error = error_of(response, 500, "internal_error")
    assert error["type"] == "server_error"
    assert "secret" not in response.text


async def test_openapi_describes_the_bodies(stand: Any) -> None:
    from jsonschema import Draft202012Validator

    from penstock.gateway.main import openapi

    document: Any = openapi()
    assert (await stand.client.get(f"{stand.url}/openapi.json")).json() == document
    post = document["paths"]["/v1/chat/completions"]["post"]
    assert post["security"] == [{"apiKey": []}]
    assert document["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**schema, "components": document["components"]})
    validator.validate({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stop": ["a"]})
    assert not validator.is_valid({"model": "m", "messages": []})
    assert not validator.is_valid({"model": "m", "messages": [{"role": "user", "content": 5}]})
    unresolved = json.dumps(document).count("#/components/schemas/HTTPValidationError")
    assert unresolved == 0

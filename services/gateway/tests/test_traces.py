"""What a trace tells of a request at the gateway: of its arrival, its question, and what went wrong."""

import asyncio
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from penstock.messages.chat import RequestFailed

CHAT = "POST /v1/chat/completions"
TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.fixture
def named(spans: InMemorySpanExporter) -> Any:
    """Waits for so many spans of a name, and returns them."""

    async def find(name: str, count: int = 1) -> list[ReadableSpan]:
        async with asyncio.timeout(20):
            while True:
                found = [span for span in spans.get_finished_spans() if span.name == name]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.01)

    return find


async def test_a_request_is_a_server_span_and_a_record(start_stand: Any, named: Any, kit: Any) -> None:
    stand = await start_stand()
    asking = asyncio.create_task(stand.ask(kit.body(stream=True), headers={"traceparent": TRACE}))
    asked = await stand.question()
    await stand.say(asked.envelope, *kit.events("a ", "canary"))
    response = await asking
    [server], [send] = await named(CHAT), await named("send chat.requests")
    assert server.kind is SpanKind.SERVER
    assert server.parent is not None
    assert f"{server.parent.trace_id:032x}-{server.parent.span_id:016x}" == f"{'ab' * 16}-{'cd' * 8}"
    assert (told(server)["http.route"], told(server)["http.response.status_code"]) == (CHAT[5:], 200)
    assert told(server)["gen_ai.request.model"] == kit.model
    assert (send.kind, send.parent) == (SpanKind.PRODUCER, server.context)
    assert asked.envelope.traceparent == f"00-{'ab' * 16}-{send.context.span_id:016x}-01"
    request_id = response.headers["x-request-id"]
    for span in (server, send):
        assert (told(span)["penstock.request.id"], told(span)["penstock.tenant"]) == (request_id, "default")
    assert told(send)["messaging.kafka.offset"] == 0
    assert "canary" not in server.to_json() + send.to_json()


async def test_an_answer_that_fails_is_told_by_its_code(start_stand: Any, named: Any) -> None:
    stand = await start_stand()
    asking = asyncio.create_task(stand.ask())
    cause = (await stand.question()).envelope
    failed = RequestFailed(code="backend_unavailable", message="a canary", status=503, stage="generation")
    await stand.say(cause, failed)
    assert (await asking).status_code == 503
    [server] = await named(CHAT)
    assert told(server)["error.type"] == "backend_unavailable"
    assert server.status.status_code is StatusCode.ERROR
    assert "canary" not in server.to_json()


@pytest.mark.parametrize(
    ("change", "status"), [({"model": "none"}, 404), ({"messages": []}, 400), ({"temperature": 9}, 400)]
)
async def test_what_a_client_does_wrong_is_no_failure(
    start_stand: Any, named: Any, kit: Any, change: dict[str, Any], status: int
) -> None:
    stand = await start_stand()
    assert (await stand.ask(kit.body(**change))).status_code == status
    [server] = await named(CHAT)
    assert told(server)["http.response.status_code"] == status
    assert server.status.is_unset


async def test_a_caller_without_a_key_is_told_of_without_a_tenant(start_stand: Any, named: Any) -> None:
    stand = await start_stand()
    headers = {"authorization": "Bearer wrong"}
    assert (await stand.ask(headers=headers)).status_code == 401
    [server] = await named("POST")
    assert told(server)["http.response.status_code"] == 401
    assert "penstock.tenant" not in told(server)


async def test_a_joined_request_is_told_under_the_id_that_its_client_gets(
    start_stand: Any, named: Any
) -> None:
    stand = await start_stand()
    key = {"headers": {"idempotency-key": "k"}}
    asking = [asyncio.create_task(stand.ask(**key)) for _ in range(2)]
    await stand.answer("text")
    first, second = [(await each).headers["x-request-id"] for each in asking]
    assert first == second
    servers = await named(CHAT, 2)
    assert [told(server)["penstock.request.id"] for server in servers] == [first] * 2
    assert len(await named("send chat.requests")) == 1


async def test_what_is_looked_at_again_is_about_the_request_it_names(start_stand: Any, named: Any) -> None:
    stand = await start_stand()
    asking = asyncio.create_task(stand.ask())
    cause = await stand.answer("text")
    await asking
    await stand.get(cause.subject)
    [server] = await named("GET /v1/chat/completions/{id}")
    assert told(server)["penstock.request.id"] == cause.subject


async def test_probes_and_the_console_have_no_spans(start_stand: Any, spans: InMemorySpanExporter) -> None:
    stand = await start_stand()
    before = len(spans.get_finished_spans())
    for path in ("/livez", "/readyz", "/metrics", "/console/api/me", "/openapi.json", "/"):
        await stand.client.get(f"{stand.url}{path}", headers=stand.auth)
    assert len(spans.get_finished_spans()) == before

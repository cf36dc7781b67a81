"""Bad input and faults, on the real stack: each gives a clear error or recovers; nothing hangs."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest

from e2e.stack import PENSTOCK, Stack
from penstock.messages.topics import TOPICS
from penstock.streaming.adapters import kafka

HELLO = [{"role": "user", "content": "Say hello."}]
HANDLED = (
    "chat.requests",
    "chat.tokenized",
    "chat.retrieved",
    "chat.generated",
    "documents.chunked",
    "documents.indexed",
    "documents.deleted",
)


@pytest.mark.parametrize(
    ("change", "status", "code", "names"),
    [
        ({"model": "no-such-model"}, 404, "model_not_found", "no-such-model"),
        ({"messages": []}, 400, None, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, 400, "no_user_message", "user"),
        (
            {"messages": [{"role": "user", "content": "word " * 20_000}]},
            400,
            "context_length_exceeded",
            "tokens",
        ),
        ({"max_tokens": 0}, 400, None, "max_tokens"),
        ({"max_tokens": 1_000_000}, 400, "context_length_exceeded", "1000000"),
        ({"temperature": 9}, 400, None, "temperature"),
        ({"n": 3}, 400, None, "n"),
        ({"messages": [{"role": "user", "content": "x" * 2_000_000}]}, 413, "request_too_large", "bytes"),
    ],
)
def test_bad_requests_are_refused_in_openais_shape(
    stack: Stack, change: dict[str, object], status: int, code: str | None, names: str
) -> None:
    response = stack.post({"model": stack.model, "messages": HELLO, "max_tokens": 8} | change)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error.keys() >= {"message", "type", "param", "code"}
    assert code in (None, error["code"])
    assert names in error["message"] or names == error["param"]
    assert response.headers["x-request-id"]


def test_malformed_json_and_a_wrong_key_are_refused(stack: Stack) -> None:
    malformed = stack.post(b'{"model": "x", ')
    assert (malformed.status_code, malformed.json()["error"]["code"]) == (400, "invalid_json")
    wrong = stack.post({"model": stack.model, "messages": HELLO}, key="wrong")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_bytes_that_are_no_event_in_every_topic_stop_nothing(stack: Stack) -> None:
    before = _restarts(stack)
    producer = await kafka.open_producer(stack.status.kafka)
    for topic in TOPICS:
        for number in range(topic.partitions):
            await producer.send(topic.name, b"garbage", b"\x00\xffno event", [("x", b"\xfe")], number)
    await producer.close()
    for _ in range(3):
        answer = stack.post({"model": stack.model, "messages": HELLO, "max_tokens": 8})
        assert answer.status_code == 200, answer.text
    wanted = {t.name: t.partitions for t in TOPICS if t.name in HANDLED}
    buried: dict[str, int] = {}
    deadline = time.monotonic() + 20
    while buried != wanted and time.monotonic() < deadline:
        letters = await stack.records([t.dlq for t in TOPICS])
        garbage = [r for r in letters if r.value == b"\x00\xffno event"]
        buried = {t: sum(r.partition.topic == f"{t}.dlq" for r in garbage) for t in wanted}
    assert buried == wanted
    assert _restarts(stack) == before


def _restarts(stack: Stack) -> dict[str, int]:
    return {service.name: service.restarts for service in stack.status.services}


def test_documents_without_text_are_named_and_not_ingested(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "empty.md").write_text("  \n")
    (tmp_path / "binary.txt").write_bytes(b"\x00\xff\xfe")
    result = stack.run("ingest", str(tmp_path))
    assert result.returncode != 0
    said = result.stdout + result.stderr
    assert "empty.md" in said
    assert "binary.txt" in said
    missing = stack.run("ingest", str(tmp_path / "not-there"))
    assert missing.returncode != 0
    assert "not-there" in missing.stderr


def test_a_killed_inference_server_comes_back_and_the_next_request_waits_for_it(stack: Stack) -> None:
    body = {"model": stack.model, "messages": HELLO, "max_tokens": 8}
    assert stack.post(body).status_code == 200
    [before] = [s for s in stack.status.services if s.name == "inference"]
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    answer = stack.post(body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]


def test_documents_are_quoted_while_the_model_server_is_away(indexed: Stack) -> None:
    body = {"model": indexed.model, "messages": [{"role": "user", "content": "What is a penstock?"}]}
    [inference] = [s for s in indexed.status.services if s.name == "inference"]
    assert inference.pid is not None
    os.kill(inference.pid, signal.SIGKILL)
    quoted = indexed.post({**body, "answers": "documents", "fallback": "quote"})
    assert quoted.status_code == 200, quoted.text
    assert quoted.json()["choices"][0]["message"]["grounding"] == "quoted"
    written = indexed.post({**body, "answers": "documents", "max_tokens": 16})
    assert written.status_code == 200, written.text
    assert written.json()["usage"]["completion_tokens"] > 0


def test_a_killed_stage_is_restarted_and_finishes_what_waits(stack: Stack) -> None:
    for name in ("tokenization", "retrieval", "generation", "postprocessing"):
        [service] = [s for s in stack.status.services if s.name == name]
        assert service.pid is not None
        os.kill(service.pid, signal.SIGKILL)
        answer = stack.post({"model": stack.model, "messages": HELLO, "max_tokens": 8})
        assert answer.status_code == 200, (name, answer.text)


def test_a_stage_without_a_broker_says_so_and_stops_at_once(tmp_path: Path) -> None:
    program = Path(PENSTOCK).with_name("penstock-postprocessing")
    port = 18_291
    env = os.environ | {
        "PENSTOCK_KAFKA": "127.0.0.1:1",
        "PENSTOCK_HEALTH_PORT": str(port),
        "PENSTOCK_STATE": str(tmp_path),
    }
    with subprocess.Popen([program], env=env, stderr=subprocess.DEVNULL) as process:  # noqa: S603  # ours
        try:
            body = _until_answering(f"http://127.0.0.1:{port}/readyz")
            assert body["ready"] is False
            assert "127.0.0.1:1" in str(body["waiting_for"])
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("seconds", [0.6, 4.0])
def test_ctrl_c_in_the_middle_of_start_up_leaves_nothing_running(tmp_path: Path, seconds: float) -> None:
    env = os.environ | {"PENSTOCK_STATE": str(tmp_path), "PENSTOCK_GATEWAY_PORT": "0"}
    with subprocess.Popen(  # noqa: S603  # ours
        [PENSTOCK, "up"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(seconds)
        _interrupt(process)
    assert not [p for p in psutil.process_iter() if _belongs_to(p, tmp_path)]


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Press Ctrl-C until it ends: an import that swallows one (of C code, on a busy machine) may lose it."""
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
            return
    process.kill()
    raise AssertionError("it goes on after Ctrl-C")


def _belongs_to(process: psutil.Process, state: Path) -> bool:
    try:
        return process.environ().get("PENSTOCK_STATE") == str(state)
    except psutil.Error:
        return False


def _until_answering(url: str) -> dict[str, object]:
    deadline = time.monotonic() + 20
    while True:
        try:
            body: dict[str, object] = httpx2.get(url, trust_env=False).json()
        except httpx2.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return body

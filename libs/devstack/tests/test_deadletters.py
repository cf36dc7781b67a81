"""The commands of dead letters over real Kafka; what they do is tried in libs/streaming."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.messages.chat import ChatRequested
from penstock.messages.envelope import Envelope, to_headers
from penstock.messages.topics import CHAT_RESPONSES, TOPICS, Topic
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.admin.topics import ensure_topics
from penstock.streaming.ports import Partition, Producer

TIME_MS = 1_800_000_000_000


async def bury(producer: Producer, topic: Topic, body: bytes, subject: str, tenant: str = "acme") -> None:
    envelope = Envelope(
        id="e1", type=ChatRequested.TYPE, source="/t", time_ms=TIME_MS, subject=subject, tenant=tenant
    )
    headers = [
        *to_headers(envelope),
        ("dlq_topic", topic.name.encode()),
        ("dlq_partition", b"3"),
        ("dlq_offset", b"88"),
        ("dlq_stage", b"tokenization"),
        ("dlq_error", b"invalid_event: no JSON"),
        ("dlq_time_ms", b"%d" % TIME_MS),
    ]
    await producer.send(topic.dlq, subject.encode(), body, headers, 0)


@pytest.fixture
def penstock(kafka_broker: str, tmp_path: Path) -> object:
    """Runs the command against the real broker, without a stack."""
    asyncio.run(ensure_topics(kafka_broker, TOPICS))
    env = os.environ | {
        "PENSTOCK_KAFKA": kafka_broker,
        "PENSTOCK_STATE": str(tmp_path),
        "COLUMNS": "240",
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "penstock.devstack.cli", "dlq", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 this very Python

    return run


def test_the_commands_over_kafka(penstock, kafka_broker: str) -> None:
    async def fill() -> None:
        producer = await open_producer(kafka_broker, [CHAT_RESPONSES.dlq])
        await bury(producer, CHAT_RESPONSES, b"{}", "good", "kept")
        await bury(producer, CHAT_RESPONSES, b"\x1b[31m not JSON", "bad")
        await producer.close()

    async def first_offset() -> int:
        at = Partition(CHAT_RESPONSES.dlq, 0)
        reader = await open_reader(kafka_broker, [at], "beginning")
        try:
            return reader.position(at)
        finally:
            await reader.close()

    asyncio.run(fill())
    listed = penstock("list", "--topic", "chat.responses", "--since", "2000-01-01")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert re.search(
        r"chat\.responses +0 +20\d\d-.* tokenization +invalid_event: no JSON +good +kept", listed.stdout
    )
    assert "2 dead letters" in listed.stdout
    shown = penstock("show", "chat.responses", "1")
    assert "dlq_stage" in shown.stdout
    assert "not JSON" not in shown.stdout.replace("invalid_event: no JSON", "")
    assert "[31m not JSON" in penstock("show", "chat.responses", "1", "--body").stdout
    assert "\x1b" not in penstock("show", "chat.responses", "1", "--body").stdout

    dry = penstock("replay", "--topic", "chat.responses.dlq", "--dry-run")
    assert dry.returncode == 1
    assert "0 would be replayed, 2 refused" in dry.stdout
    forced = penstock("replay", "--tenant", "kept", "--force")
    assert (forced.returncode, forced.stderr) == (0, "")
    assert re.search(r"chat\.responses\.dlq/0 -> chat\.responses \(offset \d+\)  good", forced.stdout)
    assert asyncio.run(first_offset()) == 1
    assert "1 dropped" in penstock("drop", "--topic", "chat.responses", "--error", "no json").stdout
    assert asyncio.run(first_offset()) == 4
    assert "No dead letters match." in penstock("list", "--topic", "chat.responses", "--all").stdout


def test_what_cannot_be_asked_is_one_line(penstock) -> None:
    for words, message in (
        (["list", "--topic", "chat.nonsense"], "No topic 'chat.nonsense'; there are: chat.requests, "),
        (["list", "--since", "yesterday"], "Not a time: 'yesterday' (say 10m, 2h, 3d or "),
        (["show", "chat.requests", "4711"], "There is no dead letter chat.requests.dlq/4711 (any more)"),
    ):
        done = penstock(*words)
        assert done.returncode == 1
        assert done.stderr.startswith(f"penstock: {message}")
        assert done.stderr.count("\n") == 1

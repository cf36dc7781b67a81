"""A whole secured stack: each service as a user of its own, all commands as the admin."""

import asyncio
import time

import httpx2
import psutil
import pytest

from e2e.stack import Stack
from penstock.devstack.security import Security
from penstock.messages.flows import SERVICES
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.ports import BrokerError, Partition, Refused

NOT_ALLOWED = "this user may not.*`penstock acl show`"


def security(stack: Stack) -> Security:
    return Security(stack.state.security)


def test_an_answer_with_citations_comes_through_it(indexed: Stack) -> None:
    assert indexed.status.secure
    asked = indexed.run("ask", "What is a penstock?", "--max-tokens", "64")
    assert asked.returncode == 0, asked.stderr
    answer, _, citations = asked.stdout.partition("Citations")
    assert "pipe" in answer
    assert "What a penstock is" in citations


def test_each_service_runs_as_its_own_user_with_the_password_in_a_file(stack: Stack) -> None:
    users = {}
    for service in stack.status.services:
        if service.name not in ("kafka", "inference") and service.pid:
            env = psutil.Process(service.pid).environ()
            users[service.name] = env["PENSTOCK_KAFKA_USER"]
            assert env["PENSTOCK_KAFKA_PROTOCOL"] == "SASL_SSL"
            assert not env["PENSTOCK_KAFKA_PASSWORD"]
            for user in SERVICES:
                assert security(stack).password(user) not in " ".join(env.values())
    assert users.pop("ingestion-worker") == "ingestion"
    assert users == {name: name for name in SERVICES}


def test_all_commands_work_as_the_admin(indexed: Stack) -> None:
    for arguments, told in (
        (("status",), "ready"),
        (("topics", "list"), "as it should be"),
        (("topics", "create"), "0 topics made, 0 changed"),
        (("acl", "apply"), "0 rights given, 0 taken back"),
        (("dlq", "list"), ""),
        (("replay", "--since", "1h"), "asked again"),
        (("doctor",), "checks in"),
        (("scale", "retrieval=2", "generation=2", "gateway=2"), "is ready"),
        (("reindex",), "made anew"),
    ):
        done = indexed.run(*arguments, seconds=240)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        assert told in done.stdout, arguments
    asked = indexed.run("ask", "What is a penstock?", "--max-tokens", "64")
    assert "Citations" in asked.stdout, asked.stderr


def test_an_operator_deals_with_dead_letters_as_the_observer(indexed: Stack) -> None:
    asyncio.run(write(indexed, "admin", "chat.requests", b"no event"))
    with httpx2.Client(
        base_url=f"{indexed.status.observer}/console/api/dead_letters",
        headers={"penstock-operator": "1", "authorization": f"Bearer {observer_key(indexed)}"},
        follow_redirects=True,
        timeout=30,
        trust_env=False,
    ) as console:
        deadline = time.monotonic() + 60
        while not (letters := console.get("").raise_for_status().json()["letters"]):
            assert time.monotonic() < deadline
        letter = f"/{letters[0]['topic']}/{letters[0]['offset']}"
        sent = console.post(f"{letter}/replay", json={"force": True})
        assert sent.status_code == 200, sent.text
        while len(letters := console.get("").raise_for_status().json()["letters"]) != 1:
            assert time.monotonic() < deadline
        # It comes back as a new one, since it is still no event.
        dropped = console.delete(f"/{letters[0]['topic']}/{letters[0]['offset']}")
        assert dropped.status_code == 204, dropped.text
        assert console.get("").raise_for_status().json()["letters"] == []


def test_a_service_cannot_read_or_write_what_is_another_ones(stack: Stack) -> None:
    asyncio.run(write(stack, "tokenization", "chat.requests.dlq", b"own"))
    for topic in ("chat.generated", "usage.recorded", "documents.chunked"):
        with pytest.raises(BrokerError, match=NOT_ALLOWED):
            asyncio.run(write(stack, "tokenization", topic, b"not own"))
        with pytest.raises(BrokerError, match=NOT_ALLOWED):
            asyncio.run(read(stack, "tokenization", topic))


def test_nobody_gets_in_without_a_user(stack: Stack) -> None:
    with pytest.raises(Refused, match="check PENSTOCK_KAFKA_PROTOCOL"):
        asyncio.run(open_reader(stack.status.kafka))


def observer_key(stack: Stack) -> str:
    return stack.state.observer_key.read_text()


async def write(stack: Stack, user: str, topic: str, value: bytes) -> None:
    producer = await open_producer(security(stack).connection(stack.status.kafka, user))
    try:
        await producer.send(topic, b"key", value, [], 0)
    finally:
        await producer.close()


async def read(stack: Stack, user: str, topic: str) -> None:
    user_connection = security(stack).connection(stack.status.kafka, user)
    reader = await open_reader(user_connection, [Partition(topic, 0)], "beginning")
    try:
        await reader.poll(5)
    finally:
        await reader.close()

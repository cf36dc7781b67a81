"""The AsyncAPI document: complete, and every reference leads somewhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import NoOpTracer
from rendering.asyncapi import asyncapi
from rendering.schemas import schemas
from rendering.topics import topic_list

from penstock.messages.codec import event_types
from penstock.messages.flows import FLOWS
from penstock.messages.topics import CHAT_REQUESTS, TOPICS
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.outbox import Outbox
from penstock.streaming.ports import Partition, Record
from penstock.streaming.stage import Batch, Stage
from penstock.streaming.tracing import Spans

DOCUMENT = asyncapi()


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


@pytest.mark.parametrize("reference", sorted(set(_references(DOCUMENT))))
def test_every_reference_resolves(reference: str) -> None:
    file, _, pointer = reference.partition("#")
    if file:
        assert file.removeprefix("./schemas/") in schemas()
        return
    node: Any = DOCUMENT
    for step in pointer.removeprefix("/").split("/"):
        node = node[step]
    assert node


def test_every_topic_and_its_dead_letters_are_a_channel() -> None:
    channels = DOCUMENT["channels"]

    assert set(channels) == {name for topic in TOPICS for name in (topic.name, topic.dlq)}
    for topic in TOPICS:
        assert channels[topic.name]["address"] == topic.name
        assert channels[topic.name]["bindings"]["kafka"]["partitions"] == topic.partitions
        assert list(channels[topic.name]["messages"]) == [cls.TYPE for cls in topic.events]
        assert channels[topic.dlq]["bindings"]["kafka"]["partitions"] == 1


def test_every_event_is_a_message_with_headers_payload_and_key() -> None:
    messages = DOCUMENT["components"]["messages"]

    assert set(messages) == {*event_types(), "dead-letter"}
    for name in event_types():
        assert messages[name]["name"] == name
        assert messages[name]["headers"] == {"$ref": "./schemas/envelope.json"}
        assert messages[name]["payload"] == {"$ref": f"./schemas/{name}.json"}
        assert messages[name]["bindings"]["kafka"]["key"]["type"] == "string"


async def _nothing(_: object) -> tuple[()]:
    return ()


async def test_dead_letters_have_the_headers_the_runner_gives_them() -> None:
    broker = MemoryBroker()
    stage = Stage("tokenization", (CHAT_REQUESTS,), Batch(_nothing), None)
    outbox = Outbox(stage, broker.producer(), Spans(NoOpTracer(), "tokenization"), lambda: 7)
    record = Record(Partition("chat.requests", 3), 41, b"key", b"no event", [("x", b"y")], 0)

    await outbox.bury(record, CHAT_REQUESTS, "header ce_id is missing")

    (letter,) = broker.log("chat.requests.dlq")
    assert letter.value == b"no event"
    headers = {name: value.decode() for name, value in letter.headers}
    promised = DOCUMENT["components"]["messages"]["dead-letter"]["headers"]
    assert set(headers) - {"x"} == set(promised["required"]) == set(promised["properties"]) - {"dlq_body"}
    assert headers["dlq_partition"] == "3"


def test_an_operation_uses_only_messages_of_its_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        assert operation["messages"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])


def test_every_event_of_every_topic_is_sent_by_a_service() -> None:
    sent = {
        (topic, cls) for flow in FLOWS.values() for topic, events in flow.writes.items() for cls in events
    }

    assert sent == {(topic, cls) for topic in TOPICS for cls in topic.events}


def test_every_topic_but_those_for_others_is_read_by_a_service() -> None:
    read = {topic.name for flow in FLOWS.values() for topic in flow.reads}

    assert {topic.name for topic in TOPICS} - read == {"chat.replays", "documents.states"}


def test_every_service_of_the_flows_exists() -> None:
    services = Path(__file__).parents[2] / "services"

    assert {name for name in FLOWS if not (services / name).is_dir()} <= {"ingestion", "replay"}  # commands


def test_the_topic_list_has_every_topic() -> None:
    listed = {topic["name"]: topic for topic in topic_list()["topics"]}

    assert set(listed) == {topic.name for topic in TOPICS}
    assert listed["chat.responses"] == {
        "name": "chat.responses",
        "partitions": 8,
        "key": "subject",
        "partition": "header",
        "events": [
            "penstock.answer.started.v1",
            "penstock.answer.text.v1",
            "penstock.answer.completed.v1",
            "penstock.request.failed.v1",
            "penstock.request.cancelled.v1",
        ],
        "dlq": {"name": "chat.responses.dlq", "partitions": 1},
    }
    assert listed["usage.recorded"]["key"] == "tenant"

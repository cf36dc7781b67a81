"""Topics get more partitions, never fewer; those of documents none. Open requests: e2e/operations."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from kafka.structs import OffsetAndMetadata, TopicPartition

from penstock.devstack.kafka import running_broker
from penstock.messages.chat import AnswerCompared
from penstock.messages.topics import CHAT_REQUESTS, Topic
from penstock.streaming.adapters import kafka
from penstock.streaming.adapters.kafka.cluster import open_admin
from penstock.streaming.admin.growing import Growth, grow
from penstock.streaming.admin.inspection import inspecting
from penstock.streaming.admin.topics import ensure_topics
from penstock.streaming.ports import BrokerError

T = TypeVar("T")


def topic(name: str, partitions: int) -> Topic:
    return Topic(name, partitions, (AnswerCompared,))


def counts(bootstrap: str, *names: str) -> list[int]:
    with inspecting(bootstrap, 10) as broker:
        return [len(broker.topics()[name]) for name in names]


async def test_a_topic_gets_the_rest_of_its_partitions(kafka_broker: str) -> None:
    await ensure_topics(kafka_broker, [topic("growing.a", 2), topic("growing.b", 3)])
    wanted = [topic("growing.a", 5), topic("growing.b", 3), topic("growing.missing", 3)]
    assert grow(kafka_broker, wanted) == [Growth("growing.a", 2, 5)]
    deadline = time.monotonic() + 10
    while counts(kafka_broker, "growing.a", "growing.b", "growing.a.dlq") != [5, 3, 1]:
        assert time.monotonic() < deadline  # a broker tells of what it has done a moment later
    assert grow(kafka_broker, wanted) == []


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[str]:
    """A topic of the line's name with another count is not for the broker that all tests share."""
    with running_broker(tmp_path) as broker:
        yield broker.bootstrap


async def test_what_a_stranger_has_read_is_not_done(own_broker: str) -> None:
    """An open request of ours is open, however far another group has come in its topic."""
    asked = [topic(CHAT_REQUESTS.name, 2)]
    await ensure_topics(own_broker, asked)
    producer = await kafka.open_producer(own_broker)
    written = await producer.send(CHAT_REQUESTS.name, b"k", b"v", [], 0)
    await producer.close()
    place, read = TopicPartition(CHAT_REQUESTS.name, 0), OffsetAndMetadata(int(written) + 1, "", -1)
    until_loaded(lambda: commit(own_broker, "stranger", {place: read}))
    said = until_loaded(lambda: refusal(own_broker, [topic(CHAT_REQUESTS.name, 4)]))
    assert "requests are open (1 records of chat.requests)" in said


def commit(bootstrap: str, group: str, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
    with open_admin(bootstrap) as admin:
        admin.alter_group_offsets(group, offsets)


def refusal(bootstrap: str, topics: list[Topic]) -> str:
    """Return why they are not grown. Raises BrokerError if the broker is not there yet."""
    with pytest.raises(BrokerError) as refused:
        grow(bootstrap, topics)
    if "Coordinator" in str(refused.value):
        raise refused.value
    return str(refused.value)


def until_loaded(call: Callable[[], T]) -> T:
    """Call until no BrokerError is raised: a new broker has no coordinator of groups at first."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return call()
        except BrokerError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


async def test_what_cannot_be_changes_nothing(kafka_broker: str) -> None:
    await ensure_topics(kafka_broker, [topic("growing.c", 3), topic("growing.d", 2), topic("documents.e", 2)])
    with pytest.raises(
        BrokerError, match=r"growing\.c has 3 partitions, and Kafka takes none away to make it 2"
    ):
        grow(kafka_broker, [topic("growing.d", 4), topic("growing.c", 2)])
    with pytest.raises(BrokerError, match=r"documents\.e must keep its 2 partitions"):
        grow(kafka_broker, [topic("growing.d", 4), topic("documents.e", 4)])
    assert counts(kafka_broker, "growing.d") == [2]
    with pytest.raises(BrokerError):
        grow("127.0.0.1:1")

"""Topics get more partitions, never fewer; those of documents none. Open requests: e2e/operations."""

import pytest

from penstock.messages.chat import AnswerCompared
from penstock.messages.topics import Topic
from penstock.streaming.admin import ensure_topics
from penstock.streaming.growing import Growth, grow
from penstock.streaming.inspection import inspecting
from penstock.streaming.ports import BrokerError


def topic(name: str, partitions: int) -> Topic:
    return Topic(name, partitions, (AnswerCompared,))


async def test_a_topic_gets_the_rest_of_its_partitions(kafka_broker: str) -> None:
    await ensure_topics(kafka_broker, [topic("growing.a", 2), topic("growing.b", 3)])
    wanted = [topic("growing.a", 5), topic("growing.b", 3), topic("growing.missing", 3)]
    assert grow(kafka_broker, wanted) == [Growth("growing.a", 2, 5)]
    with inspecting(kafka_broker, 10) as broker:
        assert [len(broker.topics()[f"growing.{name}"]) for name in ("a", "b", "a.dlq")] == [5, 3, 1]
    assert grow(kafka_broker, wanted) == []


async def test_what_cannot_be_changes_nothing(kafka_broker: str) -> None:
    await ensure_topics(kafka_broker, [topic("growing.c", 3), topic("growing.d", 2), topic("documents.e", 2)])
    with pytest.raises(
        BrokerError, match=r"growing\.c has 3 partitions, and Kafka takes none away to make it 2"
    ):
        grow(kafka_broker, [topic("growing.d", 4), topic("growing.c", 2)])
    with pytest.raises(BrokerError, match=r"documents\.e must keep its 2 partitions"):
        grow(kafka_broker, [topic("growing.d", 4), topic("documents.e", 4)])
    with inspecting(kafka_broker, 10) as broker:
        assert len(broker.topics()["growing.d"]) == 2
    with pytest.raises(BrokerError):
        grow("127.0.0.1:1")

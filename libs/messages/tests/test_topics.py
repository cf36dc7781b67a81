"""What is said of event types and topics as a whole: names, uniqueness, co-partitioning."""

import re
from collections import Counter

import pytest

from penstock.messages import topics
from penstock.messages.codec import event_types
from penstock.messages.event import Event
from penstock.messages.ids import MAX_PARTITIONS
from penstock.messages.topics import TOPICS, Topic


def test_every_event_class_has_its_own_type() -> None:
    classes = [cls for cls in Event.__subclasses__() if cls.__module__.startswith("penstock.messages.")]

    assert Counter(cls.TYPE for cls in classes).most_common(1)[0][1] == 1
    assert set(event_types().values()) == set(classes)


@pytest.mark.parametrize("event_type", sorted(event_types()))
def test_a_type_is_named_with_its_noun_verb_and_version(event_type: str) -> None:
    assert re.fullmatch(r"penstock\.[a-z]+\.[a-z]+\.v[1-9][0-9]*", event_type)


@pytest.mark.parametrize("event_type", sorted(event_types()))
def test_an_event_has_a_topic_and_is_described_by_it(event_type: str) -> None:
    cls = event_types()[event_type]
    homes = [topic.name for topic in TOPICS if cls in topic.events]

    assert homes
    assert any((cls.__doc__ or "").startswith(name) for name in homes)


def test_all_topics_are_listed_once() -> None:
    defined = [value for value in vars(topics).values() if isinstance(value, Topic)]

    assert sorted(TOPICS) == sorted(defined)
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_topic_is_one_kafka_takes(topic: Topic) -> None:
    assert re.fullmatch(
        r"[a-z]+\.[a-z]+", topic.name
    )  # no underscore: Kafka's metrics mix it up with the dot
    assert topic.dlq == f"{topic.name}.dlq"
    assert topic.partitions >= 1
    assert topic.events


def test_the_chat_line_is_copartitioned() -> None:
    line = (topics.CHAT_REQUESTS, topics.CHAT_TOKENIZED, topics.CHAT_RETRIEVED, topics.CHAT_GENERATED)

    assert {(topic.partitions, topic.key, topic.reply) for topic in line} == {
        (topics.CHAT_PARTITIONS, topics.Key.SUBJECT, False)
    }


def test_reply_partitions_fit_the_request_id() -> None:
    assert all(topic.partitions <= MAX_PARTITIONS for topic in TOPICS if topic.reply)

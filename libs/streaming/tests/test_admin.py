"""Topics as they are made, on real Kafka."""

from collections.abc import Callable
from typing import Any

import kafka
from kafka.admin import ConfigResource

from penstock.messages.topics import COMPACTION_LAG_MS, Key, Topic
from penstock.streaming.adapters.kafka.cluster import missing_topics
from penstock.streaming.admin.topics import ensure_topics


def config(bootstrap: str, topic: str) -> dict[str, Any]:
    admin = kafka.KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        told = admin.describe_configs([ConfigResource("TOPIC", topic)], config_filter="all")
    finally:
        admin.close()
    return {name: entry["value"] for name, entry in told["topic"][topic].items()}


async def test_topics_are_made_once_and_keep_requests_for_as_long_as_set(
    kafka_broker: str, unique: Callable[[str], str]
) -> None:
    chat, documents = Topic(unique("chat.x"), 2, ()), Topic(unique("documents.x"), 1, ())
    topics = [chat, documents]
    names = sorted([chat.name, chat.dlq, documents.name, documents.dlq])
    assert await missing_topics(kafka_broker, names) == names
    assert len(await ensure_topics(kafka_broker, topics, retention_hours=24)) == 4
    assert await ensure_topics(kafka_broker, topics, retention_hours=1) == []
    told = config(kafka_broker, chat.name)
    assert (told["retention.ms"], told["message.timestamp.type"]) == ("3600000", "LogAppendTime")
    assert config(kafka_broker, documents.name)["retention.ms"] == "-1"


async def test_a_compacted_topic_keeps_the_last_of_each_key_and_its_dead_letters_for_a_time(
    kafka_broker: str, unique: Callable[[str], str]
) -> None:
    before = Topic(unique("documents.y"), 1, ())
    topic = before._replace(key=Key.SLOT)
    for each in (before, topic):  # one that stands from before becomes one
        await ensure_topics(kafka_broker, [each], retention_hours=2)
    told = config(kafka_broker, topic.name)
    assert (told["cleanup.policy"], told["max.compaction.lag.ms"]) == ("compact", str(COMPACTION_LAG_MS))
    told = config(kafka_broker, topic.dlq)
    assert (told["cleanup.policy"], told["retention.ms"]) == ("delete", "7200000")

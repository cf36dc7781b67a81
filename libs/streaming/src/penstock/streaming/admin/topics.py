"""Topics: created if missing, configured, truncated."""

import asyncio
from collections.abc import Mapping, Sequence

import kafka
from kafka.admin import ConfigResource

from penstock.messages.topics import COMPACTION_LAG_MS, TOPICS, Topic
from penstock.streaming.adapters.kafka import MAX_RECORD_BYTES
from penstock.streaming.adapters.kafka.cluster import open_admin, standing_topics
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import BrokerError, Partition

_HOUR_MS = 3_600_000
# The lag is also the longest that a segment is written to, unless `segment.ms` is less.
_COMPACTED = {"cleanup.policy": "compact", "max.compaction.lag.ms": str(COMPACTION_LAG_MS)}


async def ensure_topics(
    cluster: Cluster,
    topics: Sequence[Topic] = TOPICS,
    retention_hours: float | None = None,
    replication: int | None = None,
) -> list[str]:
    """Create the topics and dead-letter topics that are missing, and return their names.

    `retention_hours` is for how long requests, answers, and dead letters of either and of documents are
    kept, also in topics that stand already; None leaves that to the broker. Documents are kept until they
    are taken back. `replication` is how many brokers keep a copy of a new topic; None leaves that, too, to
    the broker. Raises BrokerError if no broker answers, or if a topic stands with another number of
    partitions.
    """
    return await asyncio.to_thread(_ensure, cluster, topics, retention_hours, replication)


async def delete_before(cluster: Cluster, offsets: Mapping[Partition, int]) -> None:
    """Delete the records before these offsets. Raises BrokerError."""
    await asyncio.to_thread(_delete_before, cluster, offsets)


def _delete_before(cluster: Cluster, offsets: Mapping[Partition, int]) -> None:
    with open_admin(cluster) as admin:
        admin.delete_records({kafka.TopicPartition(*p): offset for p, offset in offsets.items()})


def _ensure(
    cluster: Cluster, topics: Sequence[Topic], retention_hours: float | None, replication: int | None
) -> list[str]:
    wanted = wanted_partitions(topics)
    configs = wanted_configs(topics, retention_hours)
    with open_admin(cluster) as admin:
        standing = standing_topics(admin)
        wrong = [f"{n} has {standing[n]}, needs {p}" for n, p in wanted.items() if standing.get(n, p) != p]
        if wrong:
            raise BrokerError(f"partitions of existing topics differ: {'; '.join(wrong)}")
        new = {
            name: {"num_partitions": count, "replication_factor": replication or -1, "configs": configs[name]}
            for name, count in wanted.items()
            if name not in standing
        }
        if new:
            admin.create_topics(new, wait_for_metadata=True)
        old = sorted(wanted.keys() - new.keys())
        if old:
            admin.alter_configs([ConfigResource("TOPIC", n, configs[n]) for n in old])
    return sorted(new)


def wanted_configs(topics: Sequence[Topic], retention_hours: float | None) -> dict[str, dict[str, str]]:
    """Return what `ensure_topics` sets, by the names of topics and dead-letter topics."""
    configs = {name: _configs(name, retention_hours) for name in wanted_partitions(topics)}
    return configs | {topic.name: configs[topic.name] | _COMPACTED for topic in topics if topic.compacted}


def _configs(name: str, retention_hours: float | None) -> dict[str, str]:
    # The broker's clock stamps records: readers that look a time up must not depend on a writer's clock.
    always = {"max.message.bytes": str(MAX_RECORD_BYTES), "message.timestamp.type": "LogAppendTime"}
    return always | _retention(name, retention_hours)


def _retention(name: str, hours: float | None) -> dict[str, str]:
    if name.startswith("documents.") and not name.endswith(".dlq"):
        return {"retention.ms": "-1"}  # an index that is made anew reads them all
    if hours is None or not name.startswith(("chat.", "documents.")):
        return {}
    # Kafka drops whole segments only, and never the one being written.
    return {"retention.ms": str(round(hours * _HOUR_MS)), "segment.ms": str(round(hours * _HOUR_MS / 8))}


def wanted_partitions(topics: Sequence[Topic]) -> dict[str, int]:
    """Return the topics and dead-letter topics that should stand, with their partitions."""
    return {topic.name: topic.partitions for topic in topics} | {topic.dlq: 1 for topic in topics}

"""What stands at a broker and how far its groups are, for whoever looks for faults.

Nothing is changed, not even by Kafka itself: asking for a group that there is not would make it create its
topic of offsets, so the groups are listed first. All calls block and raise BrokerError.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import kafka
from kafka.admin import ConfigResource, OffsetSpec
from kafka.structs import TopicPartition

from penstock.messages.topics import Topic
from penstock.streaming.adapters.kafka.client import reading
from penstock.streaming.adapters.kafka.cluster import open_admin
from penstock.streaming.admin.dead_letters import DONE, DONE_OFFSET
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import Group, Partition

OFFSETS_TOPIC = "__consumer_offsets"
_WAIT_MS = 3_000
_POLL_MS = 500
_METADATA = "metadata.version"


class Node(NamedTuple):
    """A broker, and where it says that clients reach it."""

    number: int
    host: str
    port: int


class Standing(NamedTuple):
    """A partition: `leader` is None if there is none, `replicas` and `in_sync` count brokers."""

    leader: int | None
    replicas: int
    in_sync: int


class LogDir(NamedTuple):
    """A broker's folder of logs, in bytes; `total` and `free` are its disk's, None if it does not tell."""

    node: int
    path: str
    used: int
    total: int | None
    free: int | None


class Inspection:
    """One connection that asks, and changes nothing."""

    def __init__(self, admin: Any) -> None:
        self._admin = admin

    def nodes(self) -> list[Node]:
        """Return the brokers as the first answer named them, whether or not they can be reached."""
        # The library's public call asks one of these brokers, and so fails where they cannot be reached.
        brokers = self._admin._manager.cluster.brokers()
        return sorted(Node(broker.node_id, broker.host, broker.port) for broker in brokers)

    def cluster_id(self) -> str:
        """Return the cluster's id, which stays the same for its life."""
        return str(self._admin.describe_cluster()["cluster_id"])

    def metadata_version(self) -> int | None:
        """Return the level of Kafka's feature `metadata.version` (25 is Kafka 4.0); None before Kafka 3.3."""
        finalized = self._admin.describe_features().get(_METADATA, {}).get("finalized")
        return None if finalized is None else int(finalized[1])

    def topics(self) -> dict[str, dict[int, Standing]]:
        """Return the partitions of all topics by their numbers."""
        return {
            topic["name"]: {
                item["partition_index"]: Standing(
                    None if item["leader_id"] < 0 else item["leader_id"],
                    len(item["replica_nodes"]),
                    len(item["isr_nodes"]),
                )
                for item in topic["partitions"]
            }
            for topic in self._admin.describe_topics()
        }

    def topic_configs(self, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, str]]:
        """Return the values of these settings of these topics."""
        if not wanted:
            return {}
        asked = [ConfigResource("TOPIC", name, list(settings)) for name, settings in wanted.items()]
        told = self._admin.describe_configs(asked, config_filter="all").get("topic", {})
        return {name: _values(settings) for name, settings in told.items()}

    def node_configs(self, node: int, settings: Collection[str]) -> dict[str, str]:
        """Return the values of these settings of a broker."""
        asked = [ConfigResource("BROKER", str(node), list(settings))]
        told = self._admin.describe_configs(asked, config_filter="all")
        return _values(told.get("broker", {}).get(str(node), {}))

    def log_dirs(self) -> list[LogDir]:
        """Return where the brokers keep their logs."""
        return [
            LogDir(
                told["broker"],
                folder["log_dir"],
                sum(part["partition_size"] for topic in folder["topics"] for part in topic["partitions"]),
                _size(folder.get("total_bytes")),
                _size(folder.get("usable_bytes")),
            )
            for told in self._admin.describe_log_dirs()
            for folder in told["log_dirs"]
        ]

    def group_names(self) -> list[str]:
        """Return the names of all consumer groups."""
        return sorted(group["group_id"] for group in self._admin.list_groups())

    def groups(self, names: Collection[str]) -> dict[str, Group]:
        """Return these groups; the names must be of groups that there are."""
        if not names:
            return {}
        described = self._admin.describe_groups(list(names))
        offsets = self._admin.list_group_offsets(list(names))
        return {
            name: Group(
                len(described[name]["members"]),
                {
                    Partition(tp.topic, tp.partition): position.offset
                    for tp, position in offsets.get(name, {}).items()
                    if position.offset >= 0
                },
            )
            for name in names
        }

    def begins(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return the offset of the first record that is kept."""
        return self._offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))

    def ends(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return the offset that the next record will have."""
        return self._offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))

    def first_since(self, partitions: Collection[Partition], ms: int) -> dict[Partition, int]:
        """Return the first offset stamped with this Unix time or later, for partitions that have one."""
        found = self._offsets(dict.fromkeys(partitions, ms))
        return {at: offset for at, offset in found.items() if offset >= 0}

    def latest_stamps(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return the highest time stamp (Unix ms) of each partition that holds records."""
        found = self._listed(dict.fromkeys(partitions, OffsetSpec.MAX_TIMESTAMP))
        return {
            Partition(tp.topic, tp.partition): at.timestamp for tp, at in found.items() if at.timestamp >= 0
        }

    def _offsets(self, specs: Mapping[Partition, int]) -> dict[Partition, int]:
        found = self._listed(specs)
        return {Partition(tp.topic, tp.partition): at.offset for tp, at in found.items()}

    def _listed(self, specs: Mapping[Partition, int]) -> Mapping[Any, Any]:
        if not specs:
            return {}
        asked = {TopicPartition(*partition): spec for partition, spec in specs.items()}
        found: Mapping[Any, Any] = self._admin.list_partition_offsets(asked)
        return found


@contextmanager
def inspecting(cluster: Cluster, seconds: float) -> Iterator[Inspection]:
    """Connect, for the length of the block; each answer may take so long.

    Raises BrokerError, within five seconds if nobody answers at all, from the block's own calls as well.
    """
    with open_admin(cluster, round(seconds * 1000)) as admin:
        yield Inspection(admin)


def open_letters(broker: Inspection, cluster: Cluster, topics: Collection[Topic]) -> dict[str, int]:
    """Return how many dead letters of each topic nobody has dealt with, where there are any."""
    partitions = [Partition(topic.dlq, 0) for topic in topics]
    begins, ends = broker.begins(partitions), broker.ends(partitions)
    left = {TopicPartition(*at): end for at, end in ends.items() if begins[at] < end}
    waiting = _read_letters(cluster, left) if left else {}
    return {topic.name: len(waiting[topic.dlq]) for topic in topics if waiting.get(topic.dlq)}


def _read_letters(cluster: Cluster, ends: Mapping[Any, int]) -> dict[str, set[int]]:
    """Return the offsets of open letters up to these ends, by topic."""
    waiting: dict[str, set[int]] = {tp.topic: set() for tp in ends}
    consumer = kafka.KafkaConsumer(**reading(cluster, "inspection"), auto_offset_reset="earliest")
    try:
        consumer.assign(list(ends))
        consumer.seek_to_beginning(*ends)
        while any((consumer.position(tp, timeout_ms=_WAIT_MS) or 0) < end for tp, end in ends.items()):
            for tp, records in consumer.poll(timeout_ms=_POLL_MS).items():
                _tally(waiting[tp.topic], records)
    finally:
        consumer.close(autocommit=False, timeout_ms=_WAIT_MS)
    return waiting


def _tally(waiting: set[int], records: Collection[Any]) -> None:
    """Add letters, and take away those that a marker names (see `dead_letters`)."""
    for record in records:
        headers = dict(record.headers)
        if DONE in headers:
            number = (headers.get(DONE_OFFSET) or b"").decode(errors="replace")
            waiting.discard(int(number) if number.isdecimal() else -1)
        else:
            waiting.add(record.offset)


def _values(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: str(entry["value"]) for name, entry in settings.items()}


def _size(told: int | None) -> int | None:
    return told if told is not None and told >= 0 else None

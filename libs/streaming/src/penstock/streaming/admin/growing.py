"""More partitions for topics that stand: safe only while no request is open, so that is looked at first.

A request's records share a partition by the hash of its id, and a new owner of a partition reads its journal
from the one of the same number. With another count an open request's records would lie in two places. Of
those that have ended only the count of that time matters to nobody: answers are found by the partition in
their id, questions by looking in all.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from penstock.messages.flows import FLOWS
from penstock.messages.topics import TOPICS, Topic
from penstock.streaming.adapters.kafka.cluster import open_admin
from penstock.streaming.admin.inspection import Inspection, inspecting
from penstock.streaming.admin.topics import wanted_partitions
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import BrokerError, Partition

_ANSWER_S = 30.0


class Growth(NamedTuple):
    """A topic, its partitions until now, and how many it should have."""

    name: str
    before: int
    after: int


def grow(cluster: Cluster, topics: Sequence[Topic] = TOPICS) -> list[Growth]:
    """Give each topic that has fewer partitions than `topics` says the rest of them; blocks.

    Raises BrokerError, with nothing changed, if no broker answers, a topic has more partitions than it
    should (Kafka takes none away), is one of documents (whose records must stay where later ones of the same
    key go), or if requests are open.
    """
    with inspecting(cluster, _ANSWER_S) as broker:
        standing = broker.topics()
        growths = _growths(topics, {name: len(partitions) for name, partitions in standing.items()})
        if growths and (waiting := _open(broker, topics, standing)):
            said = ", ".join(f"{count} records of {name}" for name, count in waiting.items())
            raise BrokerError(
                f"requests are open ({said}): stop the intake, and try again when all have ended"
            )
    if growths:
        with open_admin(cluster) as admin:
            admin.create_partitions({growth.name: growth.after for growth in growths})
    return growths


def _growths(topics: Sequence[Topic], standing: Mapping[str, int]) -> list[Growth]:
    found = [
        Growth(name, standing[name], count)
        for name, count in wanted_partitions(topics).items()
        if standing.get(name, count) != count
    ]
    for name, before, after in found:
        if before > after:
            raise BrokerError(f"{name} has {before} partitions, and Kafka takes none away to make it {after}")
        if name.startswith("documents."):
            raise BrokerError(
                f"{name} must keep its {before} partitions: documents are replaced where they lie"
            )
    return found


def _open(
    broker: Inspection, topics: Sequence[Topic], standing: Mapping[str, Collection[int]]
) -> dict[str, int]:
    """Count what the groups of the line, named as their services, have still to handle, by topic."""
    line = {
        topic.name: service
        for service, flow in FLOWS.items()
        for topic in flow.handled
        if topic.name.startswith("chat.")
    }
    wanted = [t.name for t in topics if t.name in line and t.name in standing]
    partitions = [Partition(name, number) for name in wanted for number in standing[name]]
    begins, ends = broker.begins(partitions), broker.ends(partitions)
    groups = broker.groups({line[name] for name in wanted} & set(broker.group_names()))
    waiting: dict[str, int] = {}
    for partition in partitions:
        group = groups.get(line[partition.topic])
        committed = group.committed.get(partition, 0) if group else 0
        if (left := ends[partition] - max(begins[partition], committed)) > 0:
            waiting[partition.topic] = waiting.get(partition.topic, 0) + left
    return waiting

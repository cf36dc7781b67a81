"""What a stage asks of a cluster beside its records: topics that are missing, a group's commits."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import kafka
from kafka import errors

from penstock.streaming.adapters.kafka.client import as_broker_error, speaking
from penstock.streaming.adapters.kafka.knock import knock
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import Partition

_CONNECT_MS = 5_000
_REQUEST_MS = 30_000


async def missing_topics(cluster: Cluster, names: Collection[str]) -> list[str]:
    """Return those names of topics that do not stand yet. Raises BrokerError if no broker answers."""
    return await asyncio.to_thread(_missing, cluster, names)


async def committed(cluster: Cluster, group: str) -> dict[Partition, int]:
    """Return the offsets that a consumer group has committed. Raises BrokerError."""
    return await asyncio.to_thread(_committed, cluster, group)


def _committed(cluster: Cluster, group: str) -> dict[Partition, int]:
    with open_admin(cluster) as admin:
        found = admin.list_group_offsets(group).get(group, {})
    return {Partition(tp.topic, tp.partition): position.offset for tp, position in found.items()}


def _missing(cluster: Cluster, names: Collection[str]) -> list[str]:
    with open_admin(cluster) as admin:
        return sorted(set(names) - standing_topics(admin).keys())


def standing_topics(admin: Any) -> dict[str, int]:
    """Return the partition counts of all topics, by name."""
    return {item["name"]: len(item["partitions"]) for item in admin.describe_topics()}


@contextmanager
def open_admin(cluster: Cluster, request_ms: int = _REQUEST_MS) -> Iterator[Any]:
    """Open the library's admin client; its errors become BrokerError, within the block as well."""
    knock(cluster)
    try:
        admin = kafka.KafkaAdminClient(
            **speaking(cluster), bootstrap_timeout_ms=_CONNECT_MS, request_timeout_ms=request_ms
        )
        try:
            yield admin
        finally:
            admin.close()
    except errors.KafkaError as error:
        raise as_broker_error(error) from error

"""One group with a member by each library: they share, take over, and read each other's notes."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import get_args

import kafka
import pytest

from penstock.messages.topics import Topic
from penstock.streaming.adapters.kafka import open_consumer, open_producer
from penstock.streaming.admin.topics import ensure_topics
from penstock.streaming.connection import Client, KafkaConnection
from penstock.streaming.ports import BrokerError, Consumer, Partition, Position

SESSION_MS = 6_000
PARTITIONS = 4


class Member:
    """Reads, commits what it has read with a note of its name, and takes note of what it was given."""

    def __init__(self, name: Client) -> None:
        self.name = name
        self.consumer: Consumer
        self.owned: set[Partition] = set()
        self.given: dict[Partition, Position] = {}
        self.done: dict[Partition, Position] = {}
        self.values: list[bytes | None] = []
        self._reading: asyncio.Task[None]

    async def join(self, broker: str, group: str, topic: str) -> None:
        cluster = KafkaConnection(broker, client=self.name)
        self.consumer = await open_consumer(cluster, group, [topic], self.done.get, SESSION_MS)
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            polled = await self.consumer.poll(0.1)
            self.owned = (self.owned - polled.revoked) | polled.assigned.keys()
            self.given |= polled.assigned
            self.values += [record.value for record in polled.records]
            self.done |= {r.partition: Position(r.offset + 1, f"by {self.name}") for r in polled.records}
            with suppress(BrokerError):  # amid a rebalance
                await self.consumer.commit({p: at for p, at in self.done.items() if p in self.owned})

    async def leave(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self.consumer.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("first", get_args(Client))
async def test_both_get_a_share_and_one_goes_on_where_the_other_left(
    first: Client, kafka_broker: str, unique: Callable[[str], str]
) -> None:
    topic, group = Topic(unique("mixed"), PARTITIONS, ()), unique("mixed-group")
    await ensure_topics(kafka_broker, [topic])
    producer = await open_producer(kafka_broker)
    old, new = Member(first), Member(next(client for client in get_args(Client) if client != first))

    async def write(*values: bytes) -> None:
        await asyncio.gather(*(producer.send(topic.name, b"k", v, [], n) for v in values for n in range(4)))

    await old.join(kafka_broker, group, topic.name)
    await write(b"1")
    await until(lambda: len(old.values) == PARTITIONS)
    await new.join(kafka_broker, group, topic.name)
    await until(lambda: len(old.owned) == len(new.owned) == 2 and old.consumer.joined and new.consumer.joined)
    assert {at.note for at in new.given.values()} == {f"by {old.name}"}
    await write(b"2")
    await until(lambda: len(old.values + new.values) == 2 * PARTITIONS)
    await old.leave()
    await write(b"3")
    await until(lambda: new.values.count(b"3") == PARTITIONS)
    assert sorted(old.values + new.values) == sorted([b"1", b"2", b"3"] * PARTITIONS)
    assert {new.given[partition].offset for partition in new.owned} == {1, 2}
    await new.leave()
    await producer.close()


async def test_notes_by_kafka_python_end_where_they_end_for_librdkafka(
    kafka_broker: str, unique: Callable[[str], str]
) -> None:
    """Of short ones without a zero byte at their end more than half came back wrong."""
    topic, group = Topic(unique("notes"), 60, ()), unique("notes-group")
    await ensure_topics(kafka_broker, [topic])
    written = {Partition(topic.name, n): Position(n, f"{n} {n * 37} {n % 7}") for n in range(60)}
    old, new = Member("kafka-python"), Member("librdkafka")
    await old.join(kafka_broker, group, topic.name)
    await until(lambda: len(old.owned) == 60)
    await old.consumer.commit(written)
    await old.leave()
    await new.join(kafka_broker, group, topic.name)
    await until(lambda: len(new.given) == 60)
    assert new.given == written
    await new.leave()


async def test_of_notes_by_an_earlier_version_librdkafka_knows_nothing(
    kafka_broker: str, unique: Callable[[str], str]
) -> None:
    """They have no end: the number at theirs may be any."""
    topic, group = Topic(unique("notes"), 60, ()), unique("notes-group")
    await ensure_topics(kafka_broker, [topic])
    partitions = [kafka.TopicPartition(topic.name, n) for n in range(60)]
    earlier = kafka.KafkaConsumer(bootstrap_servers=kafka_broker, group_id=group, enable_auto_commit=False)
    earlier.assign(partitions)
    earlier.commit(
        {tp: kafka.OffsetAndMetadata(tp.partition, f"{tp.partition} 1 2", -1) for tp in partitions}
    )
    earlier.close()
    new = Member("librdkafka")
    await new.join(kafka_broker, group, topic.name)
    await until(lambda: len(new.given) == 60)
    assert new.given == {Partition(topic.name, n): Position(n) for n in range(60)}
    await new.leave()

"""What every broker behind the ports must do; tried on the one in memory and on real Kafka."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from penstock.messages.topics import Topic
from penstock.streaming.ports import BrokerError, Consumer, Partition, Polled, Position, Record, Since

Unique = Callable[[str], str]
HEADERS = [("ce_id", b"1"), ("odd", b"\xff\x00")]


def nothing(_partition: Partition) -> None:
    return None


async def read(
    poll: Callable[[], Awaitable[Sequence[Record]]], count: int, seconds: float = 15
) -> list[Record]:
    records: list[Record] = []
    async with asyncio.timeout(seconds):
        while len(records) < count:
            records += await poll()
    return records


async def polled(consumer: Consumer) -> Sequence[Record]:
    return (await consumer.poll(0.1)).records


async def joined(*consumers: Consumer) -> None:
    async with asyncio.timeout(15):
        while not all(c.joined for c in consumers):
            for consumer in consumers:
                assert not (await consumer.poll(0.05)).records


@pytest.fixture
async def topic(broker: Any, unique: Unique) -> Topic:
    topic = Topic(unique("conformance"), 4, ())
    await broker.make_topics([topic])
    return topic


async def test_records_come_back_as_they_went(broker: Any, topic: Topic, unique: Unique) -> None:
    producer = await broker.producer()
    await producer.send(topic.name, b"k", b"v", HEADERS, 2)
    await producer.send(topic.name, b"k", None, [], 2)
    consumer = await broker.consumer(unique("g"), [topic], nothing)
    first, second = await read(lambda: polled(consumer), 2)
    assert (first.partition, first.offset, first.key, first.value) == (
        Partition(topic.name, 2),
        0,
        b"k",
        b"v",
    )
    assert list(first.headers) == HEADERS
    assert (second.offset, second.value) == (1, None)


async def test_one_key_keeps_its_partition_and_order(broker: Any, topic: Topic, unique: Unique) -> None:
    producer = await broker.producer()
    acks = [producer.send(topic.name, b"key-%d" % (i % 3), b"%d" % i, []) for i in range(60)]
    await asyncio.gather(*acks)
    consumer = await broker.consumer(unique("g"), [topic], nothing)
    records = await read(lambda: polled(consumer), 60)
    for k in range(3):
        mine = [r for r in records if r.key == b"key-%d" % k]
        assert len({r.partition for r in mine}) == 1
        assert [int(r.value or b"") for r in mine] == list(range(k, 60, 3))


async def test_a_reader_from_the_end_sees_only_what_comes_later(broker: Any, topic: Topic) -> None:
    producer = await broker.producer()
    await producer.send(topic.name, b"k", b"before", [], 1)
    reader = await broker.reader([Partition(topic.name, 1)], "end")
    whole = await broker.reader([Partition(topic.name, 1)], "beginning")
    await producer.send(topic.name, b"k", b"after", [], 1)
    await producer.send(topic.name, b"k", b"elsewhere", [], 0)
    assert [r.value for r in await read(lambda: reader.poll(0.1), 1)] == [b"after"]
    assert [r.value for r in await read(lambda: whole.poll(0.1), 2)] == [b"before", b"after"]
    assert await reader.poll(0.05) == []


async def test_a_new_member_goes_on_at_the_commit(broker: Any, topic: Topic, unique: Unique) -> None:
    producer = await broker.producer()
    for i in range(5):
        await producer.send(topic.name, b"k", b"%d" % i, [], 3)
    group = unique("g")
    first = await broker.consumer(group, [topic], nothing)
    assert len(await read(lambda: polled(first), 5)) == 5
    await first.commit({Partition(topic.name, 3): Position(3, "a note")})
    await first.close()
    second = await broker.consumer(group, [topic], nothing)
    notes: dict[Partition, Position] = {}

    async def noting() -> Sequence[Record]:
        taken: Polled = await second.poll(0.1)
        notes.update(taken.assigned)
        return taken.records

    assert [r.value for r in await read(noting, 2)] == [b"3", b"4"]
    assert notes == {
        Partition(topic.name, n): Position(3, "a note") if n == 3 else Position(0) for n in range(4)
    }


async def test_the_group_confirms_who_is_its_member(broker: Any, topic: Topic, unique: Unique) -> None:
    group = unique("g")
    first = await broker.consumer(group, [topic], nothing)
    await joined(first)
    await first.poll(0.01)
    assert await first.confirm(Partition(topic.name, 2), Position(0))
    assert not await first.confirm(Partition("another", 0), Position(0))


async def test_a_reader_reads_more_partitions_and_fewer_and_elsewhere(broker: Any, topic: Topic) -> None:
    producer = await broker.producer()
    one, two = Partition(topic.name, 1), Partition(topic.name, 2)
    offsets = [await producer.send(topic.name, b"k", b"%d" % i, [], 1) for i in range(3)]
    assert offsets == [0, 1, 2]
    reader = await broker.reader([], "end")
    assert await reader.poll(0.01) == []
    await reader.read({one: 1})
    assert reader.position(one) == 1
    assert [r.value for r in await read(lambda: reader.poll(0.1), 2)] == [b"1", b"2"]
    assert reader.position(one) == 3
    await reader.read({two: "end"})
    await producer.send(topic.name, b"k", b"two", [], 2)
    assert [r.value for r in await read(lambda: reader.poll(0.1), 1)] == [b"two"]
    await reader.read({one: "beginning"})
    await reader.leave([two])
    await producer.send(topic.name, b"k", b"unseen", [], 2)
    assert [r.value for r in await read(lambda: reader.poll(0.1), 3)] == [b"0", b"1", b"2"]
    assert await reader.poll(0.05) == []


async def test_a_reader_begins_at_a_time(broker: Any, topic: Topic) -> None:
    producer = await broker.producer()
    where = Partition(topic.name, 1)
    await producer.send(topic.name, b"k", b"before", [], 1)
    await asyncio.sleep(0.02)
    moment = time.time_ns() // 1_000_000
    await asyncio.sleep(0.02)
    await producer.send(topic.name, b"k", b"after", [], 1)
    reader = await broker.reader([where], Since(moment))
    assert [r.value for r in await read(lambda: reader.poll(0.1), 1)] == [b"after"]
    late = await broker.reader([where], Since(moment + 3_600_000))
    assert late.position(where) == 2


async def test_a_member_learns_where_its_partitions_end_also_while_it_is_paused(
    broker: Any, topic: Topic, unique: Unique
) -> None:
    producer = await broker.producer()
    consumer = await broker.consumer(unique("group"), [topic], lambda _: None)
    await consumer.pause()
    async with asyncio.timeout(30):
        while len(await consumer.ends()) < topic.partitions:
            await consumer.poll(0.1)
    assert set((await consumer.ends()).values()) == {0}
    for _ in range(3):
        await producer.send(topic.name, b"k", b"v", [], 1)
    ends = await consumer.ends()
    assert ends[Partition(topic.name, 1)] == 3
    assert sum(ends.values()) == 3


async def test_a_member_knows_how_many_partitions_its_topics_have(
    broker: Any, topic: Topic, unique: Unique
) -> None:
    consumer = await broker.consumer(unique("g"), [topic], nothing)
    await joined(consumer)
    assert consumer.partitions(topic.name) == topic.partitions


async def test_a_paused_consumer_reads_nothing_until_resumed(
    broker: Any, topic: Topic, unique: Unique
) -> None:
    producer = await broker.producer()
    consumer = await broker.consumer(unique("g"), [topic], nothing)
    await joined(consumer)
    await consumer.pause()
    await consumer.poll(0.01)
    await producer.send(topic.name, b"k", b"v", [])
    for _ in range(5):
        assert not (await consumer.poll(0.1)).records
    await consumer.resume()
    assert len(await read(lambda: polled(consumer), 1)) == 1


async def test_a_second_member_takes_over_a_share_where_the_first_left_off(
    broker: Any, topic: Topic, unique: Unique
) -> None:
    producer = await broker.producer()
    group = unique("g")
    done: dict[Partition, Position] = {}
    first = await broker.consumer(group, [topic], done.get)
    await joined(first)
    for number in range(4):
        await producer.send(topic.name, b"k", b"old", [], number)
    for record in await read(lambda: polled(first), 4):
        done[record.partition] = Position(record.offset + 1)  # handled, and only committed by the rebalance
    second = await broker.consumer(group, [topic], nothing)
    revoked: set[Partition] = set()
    async with asyncio.timeout(20):
        while not (revoked and second.joined):
            mine, others = await asyncio.gather(first.poll(0.05), second.poll(0.05))
            revoked |= mine.revoked
            assert not others.records
    for number in range(4):
        await producer.send(topic.name, b"k", b"new", [], number)
    seen: dict[Partition, bytes | None] = {}
    async with asyncio.timeout(20):
        while len(seen) < 4:
            mine, others = await asyncio.gather(first.poll(0.05), second.poll(0.05))
            revoked |= mine.revoked
            assert {r.partition for r in others.records} <= revoked
            seen |= {r.partition: r.value for r in [*mine.records, *others.records]}
    assert set(seen.values()) == {b"new"}


async def test_a_topic_that_does_not_stand_is_an_error(broker: Any, topic: Topic) -> None:
    producer = await broker.producer()
    with pytest.raises(BrokerError):
        await producer.send(f"{topic.name}-not", b"k", b"v", [])


async def test_a_key_goes_where_it_is_said_to_go(broker: Any, topic: Topic) -> None:
    producer = await broker.producer()
    reader = await broker.reader([Partition(topic.name, n) for n in range(4)], "beginning")
    keys = [b"", b"k", b"\xff" * 5, *(b"key-%d" % i for i in range(20))]
    for key in keys:
        await producer.send(topic.name, key, b"v", [])
    found = await read(lambda: reader.poll(0.1), len(keys))
    assert {r.key: r.partition.number for r in found} == {key: broker.partition_of(key, 4) for key in keys}


async def test_other_bytes_than_the_key_may_choose_the_partition(broker: Any, topic: Topic) -> None:
    producer = await broker.producer()
    reader = await broker.reader([Partition(topic.name, n) for n in range(4)], "beginning")
    for i in range(20):
        await producer.send(topic.name, b"key-%d" % i, b"v", [], b"subject-%d" % (i % 5))
    found = await read(lambda: reader.poll(0.1), 20)
    assert all(
        r.partition.number == broker.partition_of(b"subject-%d" % (int((r.key or b"")[4:]) % 5), 4)
        for r in found
    )


async def test_an_overview_tells_how_far_topics_and_groups_are(
    broker: Any, topic: Topic, unique: Unique
) -> None:
    producer, overview = await broker.producer(), await broker.overview()
    one, two = Partition(topic.name, 1), Partition(topic.name, 2)
    for number in (1, 1, 1, 2):
        await producer.send(topic.name, b"k", b"v", [], number)
    extents = await overview.extents([one, two, Partition(topic.name, 3)])
    assert extents == {one: (0, 3), two: (0, 1), Partition(topic.name, 3): (0, 0)}
    group, other = unique("g"), unique("g")
    assert await overview.groups([other]) == {other: (0, {})}
    consumer = await broker.consumer(group, [topic], nothing)
    await read(lambda: polled(consumer), 4)
    await consumer.commit({one: Position(2)})
    both = await overview.groups([group, other])
    assert both == {group: (1, {one: 2}), other: (0, {})}
    assert group in await overview.group_names()

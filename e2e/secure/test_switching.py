"""Security of an embedded broker that comes and goes, while its data stay."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from penstock.devstack.errors import DevstackError
from penstock.devstack.kafka import running_broker
from penstock.devstack.security import Security
from penstock.devstack.topics import create_topics
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import Partition


def as_soon_as_it_answers(make: Callable[[], None]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            make()
        except DevstackError:  # the broker listens a moment before it can
            assert time.monotonic() < deadline
        else:
            return


def test_data_stay_when_security_comes_and_goes(tmp_path: Path) -> None:
    security = Security(tmp_path / "security")
    security.prepare()
    with running_broker(tmp_path / "kafka") as open_to_all:
        as_soon_as_it_answers(lambda: create_topics(open_to_all.bootstrap, 24))
        asyncio.run(write(open_to_all.bootstrap, b"first"))
    with running_broker(tmp_path / "kafka", security=security) as closed:
        admin = security.connection(closed.bootstrap)
        as_soon_as_it_answers(lambda: create_topics(admin, 24, security))
        asyncio.run(write(security.connection(closed.bootstrap, "tokenization"), b"second"))
    with running_broker(tmp_path / "kafka") as open_again:
        assert asyncio.run(read(open_again.bootstrap, 2)) == [b"first", b"second"]


async def write(cluster: Cluster, value: bytes) -> None:
    producer = await open_producer(cluster)
    try:
        await producer.send("chat.tokenized", b"key", value, [], 0)
    finally:
        await producer.close()


async def read(cluster: Cluster, count: int) -> list[bytes | None]:
    reader = await open_reader(cluster, [Partition("chat.tokenized", 0)], "beginning")
    found: list[bytes | None] = []
    try:
        async with asyncio.timeout(60):
            while len(found) < count:
                found += [record.value for record in await reader.poll(1.0)]
    finally:
        await reader.close()
    return found

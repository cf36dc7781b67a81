"""While a broker is away a producer is broken once it has given a record up, and no owner is confirmed."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from penstock.devstack.kafka import Broker, _wait_until_it_answers, broker_in
from penstock.messages.topics import CHAT_REQUESTS
from penstock.streaming.adapters import kafka, librdkafka
from penstock.streaming.adapters.kafka import open_consumer, open_producer
from penstock.streaming.admin.topics import ensure_topics
from penstock.streaming.connection import Client, KafkaConnection
from penstock.streaming.ports import BrokerError, Partition, Position


def _start(broker: Broker) -> "subprocess.Popen[bytes]":
    command = broker.java_command("kafka.Kafka", str(broker.properties))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  ours
    _wait_until_it_answers(broker, process)
    return process


@pytest.mark.parametrize("client", get_args(Client))
async def test_it_is_broken_once_a_record_was_given_up_and_a_new_one_writes(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka.producer, "_DELIVERY_MS", 4_000)
    monkeypatch.setattr(librdkafka.producer, "DELIVERY_MS", 4_000)
    broker = broker_in(tmp_path)
    broker.write_properties()
    await asyncio.to_thread(broker.format)
    process = await asyncio.to_thread(_start, broker)
    try:
        cluster = KafkaConnection(broker.bootstrap, client=client)
        await ensure_topics(broker.bootstrap, [CHAT_REQUESTS])
        first = await open_producer(cluster, [CHAT_REQUESTS.name])
        await first.send(CHAT_REQUESTS.name, b"a", b"1", [], 0)
        assert not first.broken
        # It is sent, and no answer ever comes.
        os.kill(process.pid, signal.SIGSTOP)
        lost = first.send(CHAT_REQUESTS.name, b"a", b"2", [], 0)
        await asyncio.sleep(0.5)
        process.kill()
        process.wait()
        with pytest.raises(BrokerError):
            await asyncio.wait_for(lost, 30)
        assert first.broken
        with pytest.raises(BrokerError, match="given up"):
            await first.room()
        process = await asyncio.to_thread(_start, broker)
        second = await open_producer(cluster, [CHAT_REQUESTS.name])
        await asyncio.wait_for(second.send(CHAT_REQUESTS.name, b"a", b"3", [], 0), 30)
        assert not second.broken
        await second.close()
        await first.close()
    finally:
        process.kill()
        process.wait()


async def test_no_owner_is_confirmed_while_the_broker_is_silent_or_away(tmp_path: Path) -> None:
    broker = broker_in(tmp_path)
    broker.write_properties()
    await asyncio.to_thread(broker.format)
    process = await asyncio.to_thread(_start, broker)
    where, one = Partition(CHAT_REQUESTS.name, 0), Position(1, "a note")
    try:
        await ensure_topics(broker.bootstrap, [CHAT_REQUESTS])
        consumer = await open_consumer(broker.bootstrap, "group", [CHAT_REQUESTS.name], lambda _: None)
        async with asyncio.timeout(60):
            while not await consumer.confirm(where, one):
                await consumer.poll(0.1)
        os.kill(process.pid, signal.SIGSTOP)
        assert not await asyncio.wait_for(consumer.confirm(where, one), 30)
        process.kill()
        process.wait()
        assert not await asyncio.wait_for(consumer.confirm(where, one), 30)
        await consumer.close()
    finally:
        process.kill()
        process.wait()

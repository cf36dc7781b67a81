"""Faults of the client, and what a stage makes of them: lost acknowledgements, producers that give up."""

import asyncio
import os
import signal
import subprocess
from collections import deque
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.future import Future

from penstock.devstack.kafka import Broker, _wait_until_it_answers, broker_in
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_REQUESTS
from penstock.streaming.adapters.kafka import open_producer, producer
from penstock.streaming.adapters.kafka.client import Thread
from penstock.streaming.adapters.kafka.consumer import KafkaGroupConsumer
from penstock.streaming.adapters.kafka.producer import KafkaRecordProducer
from penstock.streaming.adapters.memory import MemoryBroker, MemoryProducer
from penstock.streaming.admin import ensure_topics
from penstock.streaming.clock import BrokerClock
from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import BrokerError, Partition, Position
from penstock.streaming.runner import Runner
from penstock.streaming.stage import Each, Outgoing, Received, Stage


def _start(broker: Broker) -> "subprocess.Popen[bytes]":
    command = broker.java_command("kafka.Kafka", str(broker.properties))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  ours
    _wait_until_it_answers(broker, process)
    return process


async def test_it_is_broken_once_a_record_was_given_up_and_a_new_one_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "_DELIVERY_MS", 4_000)
    broker = broker_in(tmp_path)
    broker.write_properties()
    await asyncio.to_thread(broker.format)
    process = await asyncio.to_thread(_start, broker)
    try:
        await ensure_topics(broker.bootstrap, [CHAT_REQUESTS])
        first = await open_producer(broker.bootstrap, [CHAT_REQUESTS.name])
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
        second = await open_producer(broker.bootstrap, [CHAT_REQUESTS.name])
        await asyncio.wait_for(second.send(CHAT_REQUESTS.name, b"a", b"3", [], 0), 30)
        assert not second.broken
        await second.close()
        await first.close()
    finally:
        process.kill()
        process.wait()


class Faulty(MemoryProducer):
    """Takes nothing more, as one does whose broker is away, or that has given up a record."""

    def __init__(self, broker: MemoryBroker, *, broken: bool) -> None:
        super().__init__(broker)
        self.broken, self.is_full = broken, True

    async def room(self) -> None:
        await asyncio.Event().wait()


def _runner(*, broken: bool) -> Runner:
    async def handle(_: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        yield Outgoing(CHAT_REQUESTS, _.event)

    broker = MemoryBroker([CHAT_REQUESTS])
    stage = Stage("stage", (CHAT_REQUESTS,), Each(handle, lambda: 1), None)
    offsets = Offsets()
    consumer = broker.consumer("stage", [CHAT_REQUESTS.name], offsets.committable)
    return Runner(stage, consumer, Faulty(broker, broken=broken), offsets)


async def test_a_stage_whose_producer_is_broken_ends_so_that_another_takes_its_place() -> None:
    with pytest.raises(BrokerError, match="another process"):
        await asyncio.wait_for(_runner(broken=True).run(asyncio.Event()), 15)


async def test_a_stage_whose_producer_is_full_still_hears_that_it_is_to_stop() -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(_runner(broken=False).run(stop))
    await asyncio.sleep(0.3)
    stop.set()
    await asyncio.wait_for(running, 15)


async def test_an_acknowledgement_that_comes_while_others_are_taken_is_taken_too() -> None:
    """The loop empties the queue between the I/O thread's look at it and its append."""

    class Interleaved(deque[Any]):
        def append(self, acknowledgement: Any) -> None:
            kafka_producer._settle()
            super().append(acknowledgement)

    loop = asyncio.get_running_loop()
    kafka_producer = KafkaRecordProducer(None, Thread("unused"), loop, BrokerClock())
    kafka_producer._acks = Interleaved()
    acknowledged = [loop.create_future() for _ in range(3)]
    for number, done in enumerate(acknowledged):
        kafka_producer._acknowledge(done, 0, number)
    assert await asyncio.wait_for(asyncio.gather(*acknowledged), 5) == [0, 1, 2]


async def test_a_commit_that_only_looked_its_coordinator_up_is_none() -> None:
    class Client:
        def assignment(self) -> set[TopicPartition]:
            return {TopicPartition("t", 0)}

        def commit_async(self, _: object) -> Any:
            return Future().success("coordinator-1")

    consumer = KafkaGroupConsumer(Client(), Thread("unused"), None)  # type: ignore[arg-type]
    assert not await consumer.confirm(Partition("t", 0), Position(1))
    with pytest.raises(BrokerError, match="not known"):
        await consumer.commit({Partition("t", 0): Position(1)})

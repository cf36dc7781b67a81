"""Faults of kafka-python, and what a stage makes of a client that gives up or waits."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.future import Future

from penstock.messages.event import Event
from penstock.messages.topics import CHAT_REQUESTS
from penstock.streaming.adapters.kafka.client import Thread
from penstock.streaming.adapters.kafka.consumer import KafkaGroupConsumer
from penstock.streaming.adapters.kafka.producer import KafkaRecordProducer
from penstock.streaming.adapters.memory import MemoryBroker, MemoryProducer
from penstock.streaming.clock import BrokerClock
from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import BrokerError, Partition, Position
from penstock.streaming.runner import Runner
from penstock.streaming.stage import Each, Outgoing, Received, Stage


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
        kafka_producer._acknowledge(done, 0, "topic", number)
    assert await asyncio.wait_for(asyncio.gather(*acknowledged), 5) == [0, 1, 2]
    kafka_producer._backlog.close()


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

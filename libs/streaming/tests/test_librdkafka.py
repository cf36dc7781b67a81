"""What is peculiar to the adapter of librdkafka: its threads, and how often they wake the event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from penstock.messages.topics import Topic
from penstock.streaming.adapters.kafka import MAX_RECORD_BYTES
from penstock.streaming.adapters.librdkafka import open_consumer, open_producer, open_reader
from penstock.streaming.adapters.librdkafka.client import LibraryLog, connecting
from penstock.streaming.adapters.librdkafka.producer import LibrdkafkaProducer
from penstock.streaming.admin.topics import ensure_topics
from penstock.streaming.ports import BrokerError, Partition, RecordTooLarge


@pytest.fixture
async def topic(kafka_broker: str, unique: Callable[[str], str]) -> str:
    name = unique("librdkafka")
    await ensure_topics(kafka_broker, [Topic(name, 4, ())])
    return name


@pytest.fixture
async def producer(kafka_broker: str, topic: str) -> AsyncIterator[LibrdkafkaProducer]:
    producer = await open_producer(kafka_broker, [topic])
    yield producer
    await producer.close()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kafka-")]


async def test_what_is_written_ends_a_poll_that_waits(
    kafka_broker: str, topic: str, producer: LibrdkafkaProducer, unique: Callable[[str], str]
) -> None:
    consumer = await open_consumer(kafka_broker, unique("group"), [topic], lambda _: None)
    async with asyncio.timeout(60):
        while not consumer.joined:
            await consumer.poll(600)
        waiting = asyncio.create_task(consumer.poll(600))
        await asyncio.sleep(0.5)
        await producer.send(topic, b"k", b"v", [])
        assert [record.value for record in (await waiting).records] == [b"v"]
        await consumer.close()


async def test_closing_ends_a_poll_that_waits_and_all_threads(
    kafka_broker: str, topic: str, unique: Callable[[str], str]
) -> None:
    before = threads()
    consumer = await open_consumer(kafka_broker, unique("group"), [topic], lambda _: None)
    reader = await open_reader(kafka_broker, [Partition(topic, 0)], "end")
    producer = await open_producer(kafka_broker)
    waiting = [asyncio.create_task(client.poll(600)) for client in (consumer, reader)]
    await asyncio.sleep(0.2)
    async with asyncio.timeout(30):
        for client in (consumer, reader, producer, consumer, reader, producer):
            await client.close()
        await asyncio.gather(*waiting)
        while threads() != before:  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.01)
    with pytest.raises(BrokerError):
        await producer.send(topic, b"k", b"v", [])


async def test_many_acknowledgements_wake_the_event_loop_a_few_times(
    topic: str, producer: LibrdkafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, woken = asyncio.get_running_loop(), 0
    wake = loop.call_soon_threadsafe

    def counting(*arguments: object, **context: object) -> object:
        nonlocal woken
        woken += 1
        return wake(*arguments, **context)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_soon_threadsafe", counting)
    offsets = await asyncio.gather(*(producer.send(topic, b"k", b"%d" % i, [], 1) for i in range(1_000)))
    assert offsets == list(range(1_000))
    assert woken < 500


async def test_a_record_that_is_too_large_costs_nobody_else(topic: str, producer: LibrdkafkaProducer) -> None:
    with pytest.raises(RecordTooLarge):
        await producer.send(topic, b"k", b"v" * (MAX_RECORD_BYTES + 1), [], 0)
    assert not producer.broken
    assert await producer.send(topic, b"k", b"v", [], 0) == 0


def test_what_the_library_logs_is_logged_as_all_else(kafka_broker: str) -> None:
    logger = connecting(kafka_broker, "client")["logger"]
    with capture_logs() as logged:
        logger.log(40, "%s [%s] %s", "FAIL", "client#producer-1", "Connection refused")
        logger.log(20, "%s [%s] %s", "GETPID", "client#producer-1", "retrying")
    assert [(entry["log_level"], entry["facility"]) for entry in logged] == [
        ("warning", "FAIL"),
        ("info", "GETPID"),
    ]


def test_what_the_library_says_over_and_over_is_logged_now_and_then() -> None:
    now = 0.0
    logger = LibraryLog(lambda: now)
    with capture_logs() as logged:
        for tried in range(1, 400):  # 50 ms apart, as librdkafka tries a broker that is away
            now = tried / 20
            logger.log(40, "", "FAIL", "producer", f"Connection refused (after {tried}ms)")
            logger.log(40, "", "FAIL", "consumer", "Connection refused (after 0ms)")
    assert [one["client"] for one in logged] == ["producer", "consumer"] * 2

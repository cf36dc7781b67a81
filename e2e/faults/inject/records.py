"""Faults of records: each delivered twice, some that are no events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeAlias
from uuid import uuid4

from e2e.faults.inject.injector import Fault, Injector
from penstock.messages.topics import TOPICS, Topic
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.ports import BrokerError, Partition, Producer, Reader, Record

_POLL_S = 0.2
_OnRecord: TypeAlias = "Callable[[Record, Producer], Coroutine[object, object, None]]"
_CHAT = tuple(topic for topic in TOPICS if topic.name.startswith("chat.") and topic.name != "chat.replays")
_HANDLED = ("chat.requests", "chat.tokenized", "chat.retrieved", "chat.generated")


def duplicates(topics: Sequence[Topic] = _CHAT) -> Fault:
    """Every record of the topics is written once more, as it is, a moment later."""

    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        copied: set[tuple[Partition, bytes]] = set()

        async def copy(record: Record, producer: Producer) -> None:
            mark = (record.partition, dict(record.headers).get("ce_id") or b"")
            if not mark[1] or mark in copied:
                return
            copied.add(mark)
            topic, number = record.partition
            await producer.room()
            sent = producer.send(topic, record.key, record.value, record.headers, number)
            sent.add_done_callback(_look)
            injector.note("duplicate", topic)

        await _along(injector, topics, stop, copy)

    return inject


def poison(share: float, topics: Sequence[str] = _HANDLED) -> Fault:
    """So many of a hundred records are followed by one that is no event."""

    async def inject(injector: Injector, stop: asyncio.Event) -> None:
        own = f"poison-{uuid4().hex}".encode()

        async def follow(record: Record, producer: Producer) -> None:
            if record.key == own or injector.random.random() * 100 >= share:
                return
            topic, number = record.partition
            sent = producer.send(topic, own, _bad_value(injector), _bad_headers(injector, record), number)
            sent.add_done_callback(_look)
            injector.note("poison", topic)

        await _along(injector, [topic for topic in TOPICS if topic.name in topics], stop, follow)

    return inject


def _bad_value(injector: Injector) -> bytes | None:
    return injector.random.choice([b"\x00\xffno event", b"{", b"[]", b"", None, b'{"a": 1}'])


def _bad_headers(injector: Injector, record: Record) -> list[tuple[str, bytes]]:
    """Return no headers, unreadable ones, or those of a request that nobody has made."""
    stranger = [(k, uuid4().hex.encode() if k == "ce_subject" else v) for k, v in record.headers]
    return injector.random.choice([[], [("ce_type", b"\xfe")], stranger])


async def _along(injector: Injector, topics: Sequence[Topic], stop: asyncio.Event, each: _OnRecord) -> None:
    """Read topics along with the stack, from now on, until `stop`."""
    partitions = [Partition(topic.name, n) for topic in topics for n in range(topic.partitions)]
    while not stop.is_set():
        try:
            bootstrap = injector.stand.status().kafka
            reader = await open_reader(bootstrap, partitions, "end")
            producer = await open_producer(bootstrap, [topic.name for topic in topics])
            try:
                await _until(stop, reader, producer, each)
            finally:
                await reader.close()
                await producer.close()
        except BrokerError as error:
            injector.notes.append(f"reading along: {error}")
            await asyncio.sleep(0.5)


async def _until(stop: asyncio.Event, reader: Reader, producer: Producer, each: _OnRecord) -> None:
    while not stop.is_set():
        for record in await reader.poll(_POLL_S):
            await each(record, producer)


def _look(sent: asyncio.Future[int]) -> None:
    """Take note of an error, so that asyncio does not complain: the broker may be one of those killed."""
    if not sent.cancelled():
        sent.exception()

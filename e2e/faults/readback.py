"""Reads the chat topics back from a broker into a `Logbook`."""

from __future__ import annotations

from collections.abc import Mapping

from e2e.faults.logbook import Entry, Logbook
from penstock.messages.event import InvalidEvent
from penstock.messages.topics import (
    CHAT_GENERATED,
    CHAT_REQUESTS,
    CHAT_RESPONSES,
    CHAT_RETRIEVED,
    CHAT_TOKENIZED,
    USAGE_RECORDED,
    Topic,
)
from penstock.streaming.adapters.kafka import open_reader
from penstock.streaming.ports import Partition, Reader, Record
from penstock.streaming.records import decode

READ = (CHAT_REQUESTS, CHAT_TOKENIZED, CHAT_RETRIEVED, CHAT_GENERATED, CHAT_RESPONSES, USAGE_RECORDED)
PARTITIONS = tuple(Partition(topic.name, n) for topic in READ for n in range(topic.partitions))
_TOPICS = {topic.name: topic for topic in READ}


async def ends(bootstrap: str) -> dict[Partition, int]:
    """Return the offsets at which the next records of all read partitions will stand."""
    reader = await open_reader(bootstrap, PARTITIONS, "end")
    try:
        return {partition: reader.position(partition) for partition in PARTITIONS}
    finally:
        await reader.close()


async def read_back(bootstrap: str, since: Mapping[Partition, int]) -> Logbook:
    """Return everything from the given offsets to the present end."""
    until = await ends(bootstrap)
    reader = await open_reader(bootstrap)
    try:
        await reader.read({partition: since.get(partition, 0) for partition in PARTITIONS})
        entries: list[Entry] = []
        while _reads_on(reader, until):
            for record in await reader.poll(1.0):
                entry = entry_of(record, _TOPICS[record.partition.topic])
                if entry is not None:
                    entries.append(entry)
        return Logbook(tuple(entries))
    finally:
        await reader.close()


def _reads_on(reader: Reader, until: Mapping[Partition, int]) -> bool:
    return any(reader.position(partition) < end for partition, end in until.items())


def entry_of(record: Record, topic: Topic) -> Entry | None:
    """Return a record as plain data, or None if it is no event of its topic."""
    try:
        received = decode(record, topic)
    except InvalidEvent:
        return None
    envelope = received.envelope
    return Entry(
        record.partition.topic,
        record.partition.number,
        record.offset,
        record.timestamp_ms / 1000,
        envelope.subject,
        received.event,
        envelope.epoch,
        envelope.id,
        envelope.deadline_ms / 1000,
    )

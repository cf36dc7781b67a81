"""Between records and typed events."""

import asyncio

import msgspec

from penstock.messages import codec
from penstock.messages.envelope import Envelope, from_headers, to_headers
from penstock.messages.event import Event, InvalidEvent
from penstock.messages.topics import REPLY_PARTITIONS, Key, Topic
from penstock.streaming.ports import Producer, Record
from penstock.streaming.stage import Received


def decode(record: Record, topic: Topic) -> Received[Event]:
    """Return the event in a record. Raises InvalidEvent, also for an event that has no place in `topic`."""
    envelope = _envelope(record)
    return Received(_decoded(envelope.type, record, topic), envelope, record.partition, record.offset)


def _decoded(kind: str, record: Record, topic: Topic) -> Event:
    event = codec.decode(kind, record.value)
    if not isinstance(event, topic.events):
        raise InvalidEvent(f"{kind} does not belong in {topic.name}")
    return event


def event_of(record: Record, topic: Topic) -> Event:
    """Return the event in a record; of its envelope only the type is read. Raises InvalidEvent."""
    name = next((value for name, value in record.headers if name == "ce_type"), None) or b""
    return _decoded(name.decode(errors="replace"), record, topic)


def envelope_of(record: Record) -> Envelope | None:
    """Return the envelope of a record whose body may be unreadable, or None."""
    try:
        return _envelope(record)
    except InvalidEvent:
        return None


def takes_back(record: Record, topic: Topic) -> bool:
    """Return whether a record only says that another one no longer counts (Kafka's "tombstone")."""
    return topic.compacted and record.value is None


def _envelope(record: Record) -> Envelope:
    envelope = from_headers(record.headers)
    if envelope.reply_partition >= REPLY_PARTITIONS:
        raise InvalidEvent(f"header ce_replypartition is not below {REPLY_PARTITIONS}")
    return envelope


def send(
    producer: Producer, topic: Topic, envelope: Envelope, event: Event, number: int | None = None
) -> asyncio.Future[int]:
    """Hand one event over; the future gives its offset once acknowledged, or raises BrokerError.

    It goes to the partition of this number, or else to the one that the topic and the key say.
    """
    if topic.compacted:
        return _put(producer, topic, envelope, event.slot, codec.encode(event))
    key = envelope.tenant if topic.key is Key.TENANT else envelope.subject
    return producer.send(
        topic.name,
        key.encode(),
        codec.encode(event),
        to_headers(envelope, streamed=event.STREAMED),
        envelope.reply_partition if topic.reply else number,
    )


def take_back(
    producer: Producer, topic: Topic, envelope: Envelope, slot: tuple[int, ...]
) -> asyncio.Future[int]:
    """Have Kafka remove what a compacted topic holds of the envelope's tenant and subject in a slot."""
    return _put(producer, topic, envelope, slot, None)


def _put(
    producer: Producer, topic: Topic, envelope: Envelope, slot: tuple[int, ...], body: bytes | None
) -> asyncio.Future[int]:
    # JSON, so that no tenant's and subject's names run together into those of another.
    key = msgspec.json.encode((envelope.tenant, envelope.subject, *slot))
    subject = envelope.subject.encode()
    return producer.send(topic.name, key, body, to_headers(envelope), subject)

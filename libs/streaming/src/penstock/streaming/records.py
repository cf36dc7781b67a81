"""Between records and typed events."""

import asyncio

from penstock.messages import codec
from penstock.messages.envelope import Envelope, from_headers, to_headers
from penstock.messages.event import Event, InvalidEvent
from penstock.messages.topics import REPLY_PARTITIONS, Key, Topic
from penstock.streaming.ports import Producer, Record
from penstock.streaming.stage import Received


def decode(record: Record, topic: Topic) -> Received[Event]:
    """Return the event in a record. Raises InvalidEvent, also for an event that has no place in `topic`."""
    envelope = _envelope(record)
    event = codec.decode(envelope.type, record.value)
    if not isinstance(event, topic.events):
        raise InvalidEvent(f"{envelope.type} does not belong in {topic.name}")
    return Received(event, envelope, record.partition, record.offset)


def envelope_of(record: Record) -> Envelope | None:
    """Return the envelope of a record whose body may be unreadable, or None."""
    try:
        return _envelope(record)
    except InvalidEvent:
        return None


def _envelope(record: Record) -> Envelope:
    envelope = from_headers(record.headers)
    if envelope.reply_partition >= REPLY_PARTITIONS:
        raise InvalidEvent(f"header ce_replypartition is not below {REPLY_PARTITIONS}")
    return envelope


def send(producer: Producer, topic: Topic, envelope: Envelope, event: Event) -> asyncio.Future[int]:
    """Hand one event over; the future gives its offset once acknowledged, or raises BrokerError."""
    key = envelope.tenant if topic.key is Key.TENANT else envelope.subject
    return producer.send(
        topic.name,
        key.encode(),
        codec.encode(event),
        to_headers(envelope),
        envelope.reply_partition if topic.reply else None,
    )

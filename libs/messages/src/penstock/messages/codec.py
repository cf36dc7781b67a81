"""Between events and the JSON bodies of records."""

import re
from functools import cache

import msgspec

from penstock.messages import chat, documents
from penstock.messages.event import Event, InvalidEvent

_INVALID_VALUE = re.compile(r"Invalid enum value .*(?= - at `)", re.DOTALL)


@cache
def event_types() -> dict[str, type[Event]]:
    """Return every event class by its type name, e.g. `penstock.chat.requested.v1`."""
    members = [*vars(chat).values(), *vars(documents).values()]
    return {cls.TYPE: cls for cls in members if isinstance(cls, type) and issubclass(cls, Event) and cls.TYPE}


def encode(event: Event) -> bytes:
    """Return the JSON body of an event."""
    return msgspec.json.encode(event)


def decode(event_type: str, body: bytes | None) -> Event:
    """Return the event of type `event_type` in a record's JSON body.

    Raises InvalidEvent for an unknown type, no body, bytes that are no JSON, or a wrong field.
    """
    cls = event_types().get(event_type)
    if cls is None:
        raise InvalidEvent(f"unknown event type {event_type!r}")
    if body is None:
        raise InvalidEvent(f"{event_type} without a body")
    try:
        return msgspec.json.decode(body, type=cls)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Not chained, and without the value: a log of this error must not hold what the body says.
        raise InvalidEvent(f"{event_type}: {_INVALID_VALUE.sub('Invalid enum value', str(error))}") from None
    except RecursionError:
        raise InvalidEvent(f"{event_type}: JSON is nested too deeply") from None

"""The base of all event bodies."""

from typing import ClassVar

import msgspec

JSON = "application/json"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One fact, as the JSON body of one record.

    `TYPE` is the CloudEvents type with its version. Unknown fields are ignored when read, so that a field
    can be added within a version. `STREAMED` marks the many small pieces of one answer; `TRACED` what gets a
    span of its own when it is sent: of one answer only its end. `TERMINAL` marks the events that end a
    request: the first one in the log counts, nothing after it.
    """

    TYPE: ClassVar[str] = ""
    STREAMED: ClassVar[bool] = False
    TRACED: ClassVar[bool] = True
    TERMINAL: ClassVar[bool] = False

    @property
    def slot(self) -> tuple[int, ...]:
        """Which of its subject's records it is, where a topic keeps only the last one of each slot."""
        return ()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A value inside events that is not itself an event."""


class InvalidEvent(Exception):
    """A record that is not the event it should be; the message says what is wrong, without its content."""

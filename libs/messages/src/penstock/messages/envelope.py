"""The envelope: what every reader needs of a record, in its headers, readable without the body.

CloudEvents 1.0 in Kafka binary mode (`ce_…`), with Penstock's extension attributes `tenant`,
`replypartition`, `deadline` and `epoch`, and W3C Trace Context's `traceparent` under its own name.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b

import msgspec

from penstock.messages.event import JSON, InvalidEvent
from penstock.messages.ids import MAX_PARTITIONS, reply_partition

Headers = list[tuple[str, bytes]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MAX_TIME_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_MAX_NUMBER = 10**18 - 1


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """Who, what and when of one record.

    `subject` is the request id or document id. `deadline_ms` (Unix milliseconds, 0: none) and
    `reply_partition` belong to the request and never change on its way; `epoch` numbers the generation
    replica that wrote (0 before generation). `id` is unique for one event and the same for its repetition.
    """

    id: str
    type: str
    source: str
    time_ms: int
    subject: str
    tenant: str
    reply_partition: int = 0
    deadline_ms: int = 0
    epoch: int = 0
    traceparent: str = ""

    def caused(
        self, event_type: str, *, nth: int, source: str, time_ms: int, traceparent: str = ""
    ) -> "Envelope":
        """Return the envelope of the `nth` event that this record's handler produced."""
        return msgspec.structs.replace(
            self,
            id=derived_id(self.id, source, nth),
            type=event_type,
            source=source,
            time_ms=time_ms,
            traceparent=traceparent or self.traceparent,
        )


def derived_id(cause_id: str, source: str, nth: int) -> str:
    """Return an id that a repeated handling of the same record gives again, so duplicates can be told."""
    return blake2b(f"{cause_id}/{source}/{nth}".encode(), digest_size=16).hexdigest()


def to_headers(envelope: Envelope, *, streamed: bool = False) -> Headers:
    """Return the record headers of an envelope.

    One of many small pieces (`streamed`) does not repeat what the first record of its request says.
    """
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", envelope.id.encode()),
        ("ce_type", envelope.type.encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_time", _rfc3339(envelope.time_ms).encode()),
        ("ce_subject", envelope.subject.encode()),
        ("ce_tenant", envelope.tenant.encode()),
        ("ce_epoch", b"%d" % envelope.epoch),
    ]
    if streamed:
        return headers
    headers += [
        ("content-type", JSON.encode()),
        ("ce_replypartition", b"%d" % envelope.reply_partition),
        ("ce_deadline", b"%d" % envelope.deadline_ms),
    ]
    if envelope.traceparent:
        headers.append(("traceparent", envelope.traceparent.encode()))
    return headers


def from_headers(headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """Return the envelope in a record's headers.

    Raises InvalidEvent naming the header that is missing or malformed. Unknown headers are ignored.
    """
    given = dict(headers)
    if _text(given, "ce_specversion") != "1.0":
        raise InvalidEvent("header ce_specversion is not 1.0")
    if _text(given, "content-type", JSON) != JSON:
        raise InvalidEvent(f"header content-type is not {JSON}")
    subject = _text(given, "ce_subject")
    partition = _number(given, "ce_replypartition", MAX_PARTITIONS - 1)
    return Envelope(
        id=_text(given, "ce_id"),
        type=_text(given, "ce_type"),
        source=_text(given, "ce_source"),
        time_ms=_milliseconds(_text(given, "ce_time")),
        subject=subject,
        tenant=_text(given, "ce_tenant"),
        reply_partition=partition if "ce_replypartition" in given else _carried(subject),
        deadline_ms=_number(given, "ce_deadline"),
        epoch=_number(given, "ce_epoch"),
        traceparent=_text(given, "traceparent", ""),
    )


def _carried(subject: str) -> int:
    """Return the reply partition in a request's id; what is no request has none."""
    try:
        return reply_partition(subject)
    except ValueError:
        return 0


def _text(headers: dict[str, bytes | None], name: str, default: str | None = None) -> str:
    raw = headers.get(name)
    if raw is None:
        if default is None:
            raise InvalidEvent(f"header {name} is missing")
        return default
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"header {name} is not UTF-8") from error
    if not text and default is None:
        raise InvalidEvent(f"header {name} is empty")
    return text


def _number(headers: dict[str, bytes | None], name: str, maximum: int = _MAX_NUMBER) -> int:
    text = _text(headers, name, "0")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidEvent(f"header {name} is not a whole number")
    if int(text) > maximum:
        raise InvalidEvent(f"header {name} is above {maximum}")
    return int(text)


@lru_cache(maxsize=64)  # records are written, and read, together
def _rfc3339(ms: int) -> str:
    return (_EPOCH + ms * _MILLISECOND).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=64)
def _milliseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidEvent("header ce_time is not RFC 3339") from error
    if moment.tzinfo is None:
        raise InvalidEvent("header ce_time has no time zone")
    ms = (moment - _EPOCH) // _MILLISECOND
    if not 0 <= ms <= _MAX_TIME_MS:
        raise InvalidEvent("header ce_time is out of range")
    return ms

"""JSON Schemas (2020-12) of the event bodies and of the record headers."""

import msgspec

from penstock.messages.codec import event_types
from penstock.messages.envelope import Envelope, from_headers, to_headers
from penstock.messages.event import JSON, Event, InvalidEvent
from rendering.text import Json

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NUMBER = "^[0-9]{1,18}$"
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = "[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"

_HEADERS: dict[str, Json] = {
    "ce_specversion": {"description": "Version of CloudEvents.", "const": "1.0"},
    "ce_id": {
        "description": "Unique for one event; the same when it is written again, so duplicates can be told.",
        "minLength": 1,
    },
    "ce_type": {
        "description": "Name and version of the event; the body follows the schema of this name.",
        "minLength": 1,
    },
    "ce_source": {"description": "The service that wrote the event, as /penstock/<name>.", "minLength": 1},
    "ce_time": {
        "description": "When the event happened, RFC 3339.",
        "format": "date-time",
        "pattern": f"^{_DATE}T{_CLOCK}$",
    },
    "ce_subject": {"description": "Request id (UUIDv7) or document id.", "minLength": 1},
    "content-type": {"description": "Media type of the body.", "const": JSON},
    "ce_tenant": {"description": "Whose request or document it is.", "minLength": 1},
    "ce_replypartition": {
        "description": "Partition of chat.responses that takes the answer: 0 to 4095, 0 where there is none."
        " Pieces of an answer leave it out.",
        "pattern": _NUMBER,
    },
    "ce_deadline": {
        "description": "Unix milliseconds after which nobody waits for the answer; 0: no deadline."
        " Pieces of an answer leave it out.",
        "pattern": _NUMBER,
    },
    "ce_epoch": {
        "description": (
            "Number of the generation replica's term that wrote; 0 before generation. "
            "A reader ignores text of an epoch older than the newest it has seen."
        ),
        "pattern": _NUMBER,
    },
    "traceparent": {"description": "W3C Trace Context of the span that sent the record; may be absent."},
}


def event_schema(cls: type[Event]) -> Json:
    """Return the schema of an event's body."""
    (root,), parts = msgspec.json.schema_components([cls])
    name = root["$ref"].rpartition("/")[2]
    schema: Json = {"$schema": _DIALECT, "$id": f"{cls.TYPE}.json", **parts.pop(name)}
    if parts:
        schema["$defs"] = dict(sorted(parts.items()))
    return schema


def envelope_schema() -> Json:
    """Return the schema of the headers that every record carries, each as text.

    Which headers there are and which are required is asked of the code that writes and reads them.
    """
    whole = to_headers(
        Envelope(id="i", type="t", source="s", time_ms=0, subject="s", tenant="t", traceparent="00")
    )
    return {
        "$schema": _DIALECT,
        "$id": "envelope.json",
        "title": "Envelope",
        "description": (
            "Headers of every record, as UTF-8 text: CloudEvents 1.0 in Kafka binary mode with the "
            "extension attributes tenant, replypartition, deadline and epoch. Other headers are ignored."
        ),
        "type": "object",
        "properties": {name: {"type": "string", **_HEADERS[name]} for name, _ in whole},
        "required": [name for name, _ in whole if not _may_miss(whole, name)],
    }


def _may_miss(headers: list[tuple[str, bytes]], name: str) -> bool:
    try:
        from_headers([header for header in headers if header[0] != name])
    except InvalidEvent:
        return False
    return True


def schemas() -> dict[str, Json]:
    """Return every schema by its file name."""
    found = {f"{name}.json": event_schema(cls) for name, cls in sorted(event_types().items())}
    return {"envelope.json": envelope_schema(), **found}

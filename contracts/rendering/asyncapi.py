"""AsyncAPI 3.0 document of the event streams: channels, messages, and each service's operations."""

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from inspect import getdoc

from penstock.messages.codec import event_types
from penstock.messages.event import JSON, Event
from penstock.messages.flows import FLOWS
from penstock.messages.topics import TOPICS, Key, Topic
from rendering.text import Json

_KAFKA = "0.5.0"
_DEAD_LETTER = "dead-letter"
_DESCRIPTION = """\
Records are CloudEvents in Kafka binary mode: the headers say what a record is, the body is JSON.
Within a version of an event only optional fields come and go; anything else makes a new version.
Every topic has a `.dlq` for records that could not be handled.
"""

_EPITAPH = {
    "dlq_topic": "Topic in which the record lay.",
    "dlq_partition": "Its partition there.",
    "dlq_offset": "Its offset there.",
    "dlq_stage": "The service that could not handle it.",
    "dlq_error": "Why, without prompt or answer text.",
    "dlq_time_ms": "When it was given up, Unix milliseconds.",
    "dlq_body": "Only where the body had to be left out: why.",
}


def asyncapi() -> Json:
    """Return the document; schemas are referred to as files beside it."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Penstock event streams",
            "version": version("penstock-messages"),
            "description": _DESCRIPTION,
        },
        "defaultContentType": JSON,
        "channels": dict(_channels()),
        "operations": dict(_operations()),
        "components": {
            "messages": {
                **{name: _message(cls) for name, cls in sorted(event_types().items())},
                _DEAD_LETTER: _dead_letter(),
            }
        },
    }


def _channels() -> Iterator[tuple[str, Json]]:
    for topic in TOPICS:
        kept = {"topicConfiguration": {"cleanup.policy": ["compact"]}} if topic.compacted else {}
        yield topic.name, _channel(topic.name, _about(topic), topic.partitions, _names(topic.events), kept)
        yield topic.dlq, _channel(topic.dlq, f"Records of {topic.name} given up.", 1, [_DEAD_LETTER], {})


def _channel(address: str, description: str, partitions: int, messages: Iterable[str], more: Json) -> Json:
    return {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": {"topic": address, "partitions": partitions, **more, "bindingVersion": _KAFKA}},
    }


def _about(topic: Topic) -> str:
    if topic.reply:
        return f"Keyed by {topic.key.value}, in the partition that the header ce_replypartition names."
    if topic.compacted:
        return (
            "Compacted: keyed by tenant, subject and slot, partitioned by the hash of the subject. "
            "A record without a body takes back the one with its key."
        )
    return f"Keyed by {topic.key.value}, partitioned by the hash of the key."


def _operations() -> Iterator[tuple[str, Json]]:
    for service, flow in FLOWS.items():
        for topic, events in flow.reads.items():
            group = {"bindings": _group(service)} if topic in flow.handled else {}
            yield _operation(service, "receive", topic.name, _names(events), group)
        for topic, events in flow.writes.items():
            yield _operation(service, "send", topic.name, _names(events), {})
        for topic in flow.handled:
            yield _operation(service, "send", topic.dlq, [_DEAD_LETTER], {})


def _operation(
    service: str, action: str, channel: str, messages: Iterable[str], more: Json
) -> tuple[str, Json]:
    at = f"#/channels/{channel}"
    return f"{service}.{action}.{channel}", {
        "action": action,
        "channel": {"$ref": at},
        "tags": [{"name": service}],
        "messages": [{"$ref": f"{at}/messages/{name}"} for name in messages],
        **more,
    }


def _group(service: str) -> Json:
    return {"kafka": {"groupId": {"type": "string", "const": service}, "bindingVersion": _KAFKA}}


def _message(cls: type[Event]) -> Json:
    return {
        "name": cls.TYPE,
        "title": cls.__name__,
        "summary": (getdoc(cls) or "").partition("\n")[0],
        "contentType": JSON,
        "headers": {"$ref": "./schemas/envelope.json"},
        "payload": {"$ref": f"./schemas/{cls.TYPE}.json"},
        "correlationId": {"location": "$message.header#/ce_subject"},
        "bindings": {"kafka": {"key": _key(cls), "bindingVersion": _KAFKA}},
    }


def _key(cls: type[Event]) -> Json:
    """Return the schema of the record key; an event has the same key in all its topics."""
    (key,) = {topic.key for topic in TOPICS if cls in topic.events}
    about = {
        Key.SUBJECT: "The subject: request id or document id.",
        Key.TENANT: "The tenant.",
        Key.SLOT: "A JSON array: the tenant, the document id, its version and the part.",
    }
    return {"type": "string", "description": about[key]}


def _dead_letter() -> Json:
    return {
        "name": _DEAD_LETTER,
        "title": "DeadLetter",
        "summary": "A record as it was, whatever its bytes are; added headers say where it lay and why.",
        "headers": {
            "type": "object",
            "properties": {name: {"type": "string", "description": text} for name, text in _EPITAPH.items()},
            "required": [name for name in _EPITAPH if name != "dlq_body"],
        },
    }


def _names(events: Iterable[type[Event]]) -> list[str]:
    return [cls.TYPE for cls in events]

"""List of topics for people who create them by hand."""

from penstock.messages.topics import COMPACTION_LAG_MS, TOPICS, Topic
from rendering.text import Json

NOTE = """
For clusters where Penstock may not create its own topics.
key: what the record key is; "subject" is the request id or document id, "slot" a JSON array of the tenant,
the subject, and which of the subject's records it is (of a chunked document: version and part).
partition: by the hash of the key or of the subject, or the one named in the header ce_replypartition.
configs: what the topic cannot do without.
chat.requests, chat.tokenized, chat.retrieved and chat.generated need the same number of partitions.
"""

_COMPACTED = {"cleanup.policy": "compact", "max.compaction.lag.ms": COMPACTION_LAG_MS}


def topic_list() -> Json:
    """Return every topic with its dead letters."""
    return {"topics": [_topic(topic) for topic in TOPICS]}


def _topic(topic: Topic) -> Json:
    return {
        "name": topic.name,
        "partitions": topic.partitions,
        "key": topic.key.value,
        "partition": _partition(topic),
        **({"configs": _COMPACTED} if topic.compacted else {}),
        "events": [cls.TYPE for cls in topic.events],
        "dlq": {"name": topic.dlq, "partitions": 1},
    }


def _partition(topic: Topic) -> str:
    if topic.reply:
        return "header"
    return "hash of subject" if topic.compacted else "hash"

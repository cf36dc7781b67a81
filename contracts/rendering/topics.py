"""List of topics for people who create them by hand."""

from penstock.messages.topics import TOPICS, Topic
from rendering.text import Json

NOTE = """
For clusters where Penstock may not create its own topics.
key: what the record key is; "subject" is the request id or document id.
partition: by the hash of the key, or the one named in the header ce_replypartition.
chat.requests, chat.tokenized, chat.retrieved and chat.generated need the same number of partitions.
"""


def topic_list() -> Json:
    """Return every topic with its dead letters."""
    return {"topics": [_topic(topic) for topic in TOPICS]}


def _topic(topic: Topic) -> Json:
    return {
        "name": topic.name,
        "partitions": topic.partitions,
        "key": topic.key.value,
        "partition": "header" if topic.reply else "hash",
        "events": [cls.TYPE for cls in topic.events],
        "dlq": {"name": topic.dlq, "partitions": 1},
    }

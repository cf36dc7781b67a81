"""The topics: their partitions, what may stand in each, and by what their records are keyed."""

from enum import Enum
from typing import NamedTuple

from penstock.messages import chat, documents
from penstock.messages.event import Event

CHAT_PARTITIONS = 8
REPLY_PARTITIONS = 8
COMPACTION_LAG_MS = 3_600_000
"""After so long Kafka removes what no longer counts in a compacted topic, with the next write to it."""


class Key(Enum):
    """What a record's key is, and so which records share a partition."""

    SUBJECT = "subject"  # request id or document id
    TENANT = "tenant"
    SLOT = "slot"  # tenant, subject and the event's slot; the partition is the one of the subject


class Topic(NamedTuple):
    """A topic; `reply` topics are written to the partition named in the envelope instead of by key hash."""

    name: str
    partitions: int
    events: tuple[type[Event], ...]
    key: Key = Key.SUBJECT
    reply: bool = False

    @property
    def compacted(self) -> bool:
        """Whether only the last record of each key is kept; one without a body says that none is."""
        return self.key is Key.SLOT

    @property
    def dlq(self) -> str:
        """Name of the topic for this topic's records that could not be handled."""
        return f"{self.name}.dlq"


CHAT_REQUESTS = Topic("chat.requests", CHAT_PARTITIONS, (chat.ChatRequested,))
CHAT_TOKENIZED = Topic("chat.tokenized", CHAT_PARTITIONS, (chat.ChatTokenized, chat.RequestFailed))
CHAT_RETRIEVED = Topic("chat.retrieved", CHAT_PARTITIONS, (chat.ChatRetrieved, chat.RequestFailed))
CHAT_GENERATED = Topic(
    "chat.generated",
    CHAT_PARTITIONS,
    (
        chat.EpochStarted,
        chat.GenerationStarted,
        chat.TextGenerated,
        chat.GenerationFinished,
        chat.RequestFailed,
        chat.RequestCancelled,
    ),
)
CHAT_RESPONSES = Topic(
    "chat.responses",
    REPLY_PARTITIONS,
    (
        chat.AnswerStarted,
        chat.AnswerText,
        chat.AnswerCompleted,
        chat.RequestFailed,
        chat.RequestCancelled,
    ),
    reply=True,
)
CHAT_CANCELLATIONS = Topic(
    "chat.cancellations", 1, (chat.CancelRequested, chat.ClientLeft, chat.ClientJoined, chat.GatewayStarted)
)
CHAT_REPLAYS = Topic("chat.replays", 1, (chat.AnswerCompared,))
DOCUMENTS_CHUNKED = Topic("documents.chunked", 4, (documents.DocumentChunked,), key=Key.SLOT)
DOCUMENTS_DELETED = Topic("documents.deleted", 4, (documents.DocumentDeleted,))
DOCUMENTS_INDEXED = Topic("documents.indexed", 4, (documents.DocumentIndexed,))
DOCUMENTS_STATES = Topic("documents.states", 4, (documents.DocumentStateChanged,))
USAGE_RECORDED = Topic("usage.recorded", 4, (chat.UsageRecorded,), key=Key.TENANT)

TOPICS = (
    CHAT_REQUESTS,
    CHAT_TOKENIZED,
    CHAT_RETRIEVED,
    CHAT_GENERATED,
    CHAT_RESPONSES,
    CHAT_CANCELLATIONS,
    CHAT_REPLAYS,
    DOCUMENTS_CHUNKED,
    DOCUMENTS_DELETED,
    DOCUMENTS_INDEXED,
    DOCUMENTS_STATES,
    USAGE_RECORDED,
)

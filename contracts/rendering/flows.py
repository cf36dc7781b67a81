"""Which service reads and writes what: the one table behind the operations in asyncapi.yaml."""

from collections.abc import Mapping
from typing import NamedTuple

from penstock.messages import topics
from penstock.messages.chat import RequestFailed
from penstock.messages.event import Event
from penstock.messages.topics import Topic

Events = Mapping[Topic, tuple[type[Event], ...]]


class Flow(NamedTuple):
    """What one service reads and writes, and for which topics it leaves dead letters."""

    reads: Events
    writes: Events
    grouped: bool = True  # reads by a consumer group through the runner, which keeps what it cannot handle

    @property
    def dead_letters(self) -> tuple[Topic, ...]:
        """Topics whose `.dlq` this service writes."""
        return tuple(self.reads) if self.grouped else ()


def _all_of(*several: Topic) -> Events:
    return {topic: topic.events for topic in several}


_FAILURES: Events = {topics.CHAT_RESPONSES: (RequestFailed,)}

FLOWS: Mapping[str, Flow] = {
    "gateway": Flow(
        reads=_all_of(topics.CHAT_RESPONSES, topics.CHAT_REQUESTS),
        writes=_all_of(topics.CHAT_REQUESTS, topics.CHAT_CANCELLATIONS),
        grouped=False,
    ),
    "tokenization": Flow(
        reads=_all_of(topics.CHAT_REQUESTS),
        writes={**_all_of(topics.CHAT_TOKENIZED), **_FAILURES},
    ),
    "retrieval": Flow(
        reads=_all_of(topics.CHAT_TOKENIZED, topics.DOCUMENTS_CHUNKED, topics.DOCUMENTS_DELETED),
        writes={**_all_of(topics.CHAT_RETRIEVED, topics.DOCUMENTS_INDEXED), **_FAILURES},
    ),
    "generation": Flow(
        reads=_all_of(topics.CHAT_RETRIEVED, topics.CHAT_CANCELLATIONS),
        writes=_all_of(topics.CHAT_GENERATED),
    ),
    "postprocessing": Flow(
        reads=_all_of(topics.CHAT_GENERATED),
        writes=_all_of(topics.CHAT_RESPONSES, topics.USAGE_RECORDED),
    ),
    "ingestion": Flow(
        reads=_all_of(topics.DOCUMENTS_INDEXED),
        writes=_all_of(topics.DOCUMENTS_CHUNKED, topics.DOCUMENTS_DELETED, topics.DOCUMENTS_STATES),
        grouped=False,
    ),
    "replay": Flow(
        reads=_all_of(topics.CHAT_REQUESTS, topics.CHAT_RESPONSES),
        writes=_all_of(topics.CHAT_REQUESTS, topics.CHAT_REPLAYS),
        grouped=False,
    ),
}

"""Which service reads and writes what: the one table behind asyncapi.yaml, and behind what Kafka allows."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from penstock.messages import topics
from penstock.messages.event import Event
from penstock.messages.topics import TOPICS, Topic

REPLAY = "replay"
"""A command, which an administrator runs."""
Events = Mapping[Topic, tuple[type[Event], ...]]


class Flow(NamedTuple):
    """What one service reads and writes.

    What it has `handled` it reads by consumer groups, whose names begin with the service's, through the
    runner, which leaves dead letters of what cannot be handled. An `operator` also looks how far every
    topic and group is, and reads, deletes and sends again everybody's dead letters.
    """

    reads: Events
    writes: Events
    handled: tuple[Topic, ...] = ()
    operator: bool = False

    @property
    def topics(self) -> tuple[Topic, ...]:
        """All topics that it reads or writes, but for dead letters."""
        return tuple(dict.fromkeys((*self.reads, *self.writes)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all topics that it needs, those for dead letters as well."""
        letters = TOPICS if self.operator else self.handled
        return (*(topic.name for topic in self.topics), *(topic.dlq for topic in letters))


def _all_of(several: Iterable[Topic]) -> Events:
    return {topic: topic.events for topic in several}


FLOWS: Mapping[str, Flow] = {
    "gateway": Flow(
        reads=_all_of((topics.CHAT_RESPONSES, topics.CHAT_REQUESTS)),
        writes=_all_of((topics.CHAT_REQUESTS, topics.CHAT_CANCELLATIONS)),
    ),
    "tokenization": Flow(
        reads=_all_of((topics.CHAT_REQUESTS,)),
        writes=_all_of((topics.CHAT_TOKENIZED,)),
        handled=(topics.CHAT_REQUESTS,),
    ),
    "retrieval": Flow(
        # Questions are read ahead, for their queries to be embedded while they are tokenized.
        reads=_all_of(
            (
                topics.CHAT_REQUESTS,
                topics.CHAT_TOKENIZED,
                topics.DOCUMENTS_CHUNKED,
                topics.DOCUMENTS_DELETED,
            )
        ),
        writes=_all_of((topics.CHAT_RETRIEVED, topics.DOCUMENTS_INDEXED)),
        handled=(topics.CHAT_TOKENIZED, topics.DOCUMENTS_CHUNKED, topics.DOCUMENTS_DELETED),
    ),
    "generation": Flow(
        # What it has written it reads when it takes a partition over.
        reads=_all_of((topics.CHAT_RETRIEVED, topics.CHAT_CANCELLATIONS, topics.CHAT_GENERATED)),
        writes=_all_of((topics.CHAT_GENERATED,)),
        handled=(topics.CHAT_RETRIEVED,),
    ),
    "postprocessing": Flow(
        reads=_all_of((topics.CHAT_GENERATED,)),
        writes=_all_of((topics.CHAT_RESPONSES, topics.USAGE_RECORDED)),
        handled=(topics.CHAT_GENERATED,),
    ),
    "ingestion": Flow(
        reads=_all_of((topics.DOCUMENTS_INDEXED,)),
        writes=_all_of((topics.DOCUMENTS_CHUNKED, topics.DOCUMENTS_DELETED, topics.DOCUMENTS_STATES)),
        handled=(topics.DOCUMENTS_INDEXED,),
    ),
    "observer": Flow(
        reads=_all_of(
            (
                topics.CHAT_REQUESTS,
                topics.CHAT_TOKENIZED,
                topics.CHAT_RETRIEVED,
                topics.CHAT_GENERATED,
                topics.CHAT_RESPONSES,
                topics.CHAT_CANCELLATIONS,
                topics.USAGE_RECORDED,
            )
        ),
        writes={},
        operator=True,
    ),
    REPLAY: Flow(
        reads=_all_of((topics.CHAT_REQUESTS, topics.CHAT_RESPONSES)),
        writes=_all_of((topics.CHAT_REQUESTS, topics.CHAT_REPLAYS)),
    ),
}
SERVICES = tuple(name for name in FLOWS if name != REPLAY)
"""Those that run all the time, each as a user of its own."""

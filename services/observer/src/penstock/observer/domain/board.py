"""The last requests, built from the records of the line in the order of the log."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, replace

from penstock.messages.chat import AnswerText, EpochStarted, TextGenerated
from penstock.messages.envelope import Envelope
from penstock.messages.ids import request_id_of
from penstock.messages.reading import Fence
from penstock.messages.topics import (
    CHAT_GENERATED,
    CHAT_REQUESTS,
    CHAT_RESPONSES,
    CHAT_RETRIEVED,
    CHAT_TOKENIZED,
)
from penstock.observer.domain.requests import Request, State, begun, note
from penstock.observer.domain.viewer import Viewer
from penstock.streaming.ports import Partition, Record
from penstock.streaming.records import envelope_of

LINE = (CHAT_REQUESTS, CHAT_TOKENIZED, CHAT_RETRIEVED, CHAT_GENERATED, CHAT_RESPONSES)
"""What a request passes through."""
LIMIT = 5_000
_TEXT = TextGenerated.TYPE.encode()
_VISIBLE_TEXT = AnswerText.TYPE.encode()


@dataclass(frozen=True, slots=True)
class Wish:
    """Which requests somebody wants to see: `q` begins their id, `before` is an id, newest first."""

    limit: int = 100
    before: str = ""
    state: State | None = None
    q: str = ""


class Board:
    """At most `limit` requests, those that were made last. Ids sort by the time of their request."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._requests: dict[str, Request] = {}
        self._ids: list[str] = []
        self._fences: dict[Partition, Fence] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._requests.values()))

    def clear(self) -> None:
        """Forget everything: so much of the log was not seen that what is known may be wrong."""
        self._requests.clear()
        self._ids.clear()
        self._fences.clear()

    def take(self, record: Record) -> Request | None:
        """Take note of a record of the line. Return the request that it has changed, if it has."""
        kind = _type_of(record)
        if kind == _TEXT or (kind == _VISIBLE_TEXT and self._has_text(record)):
            return None
        envelope = envelope_of(record)
        if envelope is None or not self._counts(record, envelope):
            return None
        request = self._requests.get(envelope.subject) or self._added(envelope)
        if request is None or request.tenant != envelope.tenant:
            return None
        before = replace(request)
        note(request, record.partition.topic, envelope, record.value, record.timestamp_ms)
        return None if request == before else request

    def get(self, request_id: str) -> Request | None:
        """Return a request, if it is known."""
        return self._requests.get(request_id)

    def page(self, wish: Wish, viewer: Viewer) -> tuple[list[Request], str | None]:
        """Return what a viewer may see of a wish, and before which id to go on (None: all seen)."""
        found: list[Request] = []
        for request in self._newest_first(wish.before):
            if not viewer.sees(request.tenant) or not _wanted(request, wish):
                continue
            if len(found) == wish.limit:
                return found, found[-1].id
            found.append(request)
        return found, None

    def _newest_first(self, before: str) -> Iterator[Request]:
        end = bisect_left(self._ids, before) if before else len(self._ids)
        return (self._requests[self._ids[at]] for at in range(end - 1, -1, -1))

    def _has_text(self, record: Record) -> bool:
        request = self._requests.get((record.key or b"").decode(errors="replace"))
        return request is not None and request.first_text_ms is not None

    def _counts(self, record: Record, envelope: Envelope) -> bool:
        """Return whether a record is of a request, and of an owner of its partition that was not replaced."""
        if record.partition.topic != CHAT_GENERATED.name:
            return True
        fence = self._fences.setdefault(record.partition, Fence())
        return fence.admits(envelope.epoch) and envelope.type != EpochStarted.TYPE

    def _added(self, envelope: Envelope) -> Request | None:
        request = begun(envelope.subject, envelope.tenant)
        if request is None:
            return None
        if len(self._ids) >= self._limit:
            if request.id < self._ids[0]:
                return None
            del self._requests[self._ids.pop(0)]
        insort(self._ids, request.id)
        self._requests[request.id] = request
        return request


def _wanted(request: Request, wish: Wish) -> bool:
    return wish.state in (None, request.state) and request.id.startswith(request_id_of(wish.q))


def _type_of(record: Record) -> bytes | None:
    return next((value for name, value in record.headers if name == "ce_type"), None)

"""The records of one request, found in the log by its id: its time, its key, its deadline."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple

from penstock.messages import codec, ids
from penstock.messages.envelope import Envelope
from penstock.messages.topics import (
    CHAT_CANCELLATIONS,
    CHAT_GENERATED,
    CHAT_REQUESTS,
    CHAT_RESPONSES,
    CHAT_RETRIEVED,
    CHAT_TOKENIZED,
    USAGE_RECORDED,
    Key,
    Topic,
)
from penstock.observer.domain.board import LINE
from penstock.observer.domain.errors import busy
from penstock.observer.domain.requests import Request, begun, note
from penstock.observer.ports import Log
from penstock.streaming.ports import Partition, Reader, Record, Since
from penstock.streaming.records import envelope_of

MAX_RECORDS = 1_000
SECONDS = 1.5
"""So long one look may take; opening and closing the connection is quick."""
NEAR_MS = 5_000
"""By so much may the clocks of gateway and broker differ."""
GRACE_MS = 10_000
"""So long after its deadline a request may end."""
ASSUMED_MS = 130_000
"""A request whose deadline is not known ends within this."""
AT_ONCE = 2
WAITING = 16
_POLL_SECONDS = 0.1
_ROOM_FOR_OTHERS = 100  # than pieces of text
_BETWEEN = (CHAT_TOKENIZED, CHAT_RETRIEVED, CHAT_GENERATED, CHAT_CANCELLATIONS, USAGE_RECORDED)
_LINE = {topic.name for topic in LINE}


class RecordView(NamedTuple):
    """A record without its body, whose size is `size` bytes."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    type: str
    epoch: int
    size: int
    headers: Mapping[str, str]


@dataclass
class Records:
    """What was found of a request; `cut`: there may be more. `request` is None if there was nothing."""

    request: Request | None = None
    records: list[RecordView] = field(default_factory=list)
    cut: bool = False


class _Window(NamedTuple):
    """Times of the broker between which records are looked for, in Unix milliseconds."""

    since_ms: int
    until_ms: int


class Lookup:
    """Finds records; few looks run at once, and a few more wait."""

    def __init__(self, opening: Log) -> None:
        self._log = opening
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def find(self, request_id: str, again_ms: Sequence[int] = ()) -> Records:
        """Return the records of a request, which was sent again at the times `again_ms`.

        Raises BrokerError; ApiError 503 if too many ask at once.
        """
        try:
            created_ms = ids.created_ms(request_id)
        except ValueError:
            return Records()
        if self._waiting >= WAITING:
            raise busy("requests for records")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._find(request_id, created_ms, again_ms)
        finally:
            self._waiting -= 1

    async def _find(self, request_id: str, created_ms: int, again_ms: Sequence[int]) -> Records:
        reader = await self._log.reader()
        search = _Search(request_id, self._log, reader)
        try:
            async with asyncio.timeout(SECONDS):
                await search.run(created_ms, again_ms)
        except TimeoutError:
            search.found.cut = True
        finally:
            await reader.close()
        search.found.records.sort(key=_order)
        return search.found


class _Search:
    """One look: first for the question, then for the answer's end, then for what lies between."""

    def __init__(self, request_id: str, log: Log, reader: Reader) -> None:
        self.found = Records()
        self._id = request_id
        self._key = request_id.encode()
        self._log = log
        self._reader = reader
        self._seen: set[tuple[Partition, int]] = set()
        self._deadline_ms = 0
        self._asked_ms: int | None = None
        self._ended_ms: int | None = None

    async def run(self, created_ms: int, again_ms: Sequence[int]) -> None:
        near = _Window(created_ms - NEAR_MS, created_ms + NEAR_MS)
        await self._read([CHAT_REQUESTS], near)
        since = near.since_ms if self._asked_ms is None else self._asked_ms - 1
        latest = max(created_ms + ASSUMED_MS, self._deadline_ms) + GRACE_MS
        await self._read([CHAT_RESPONSES], _Window(since, latest), to_end=True)
        if not self.found.records:
            return
        until = latest if self._ended_ms is None else self._ended_ms + NEAR_MS
        await self._read(_BETWEEN, _Window(since, until), dead=True)
        for start in again_ms:
            if start > until:
                until = start + ASSUMED_MS
                await self._read(
                    [CHAT_REQUESTS, *_BETWEEN, CHAT_RESPONSES], _Window(start - NEAR_MS, until), dead=True
                )

    async def _read(
        self, topics: Sequence[Topic], window: _Window, *, to_end: bool = False, dead: bool = False
    ) -> None:
        """Take the records of the request in a window; `to_end`: up to its end, `dead`: dead letters, too."""
        partitions = [self._at(topic) for topic in topics]
        if dead:
            partitions += [Partition(topic.dlq, 0) for topic in LINE]
        async with aclosing(_between(self._reader, partitions, window)) as records:
            async for record in records:
                envelope = self._of_request(record)
                if envelope is not None:
                    self._take(record, envelope)
                if to_end and self._ended_ms is not None:
                    return

    def _at(self, topic: Topic) -> Partition:
        if topic.reply:
            return Partition(topic.name, ids.reply_partition(self._id) % topic.partitions)
        request = self.found.request
        key = (request.tenant if request else "").encode() if topic.key is Key.TENANT else self._key
        return Partition(topic.name, self._log.partition_of(key, topic.partitions))

    def _of_request(self, record: Record) -> Envelope | None:
        if record.key != self._key and not _is_keyed_otherwise(record):
            return None
        envelope = envelope_of(record)
        return envelope if envelope is not None and envelope.subject == self._id else None

    def _take(self, record: Record, envelope: Envelope) -> None:
        request = self.found.request = self.found.request or begun(self._id, envelope.tenant)
        place = (record.partition, record.offset)
        if request is None or request.tenant != envelope.tenant or place in self._seen:
            return
        self._seen.add(place)
        self._keep(record, envelope)
        topic = record.partition.topic
        if topic not in _LINE:
            return
        note(request, topic, envelope, record.value, record.timestamp_ms)
        self._deadline_ms = max(self._deadline_ms, envelope.deadline_ms)
        if topic == CHAT_REQUESTS.name and self._asked_ms is None:
            self._asked_ms = record.timestamp_ms
        if request.ended_ms is not None and self._ended_ms is None:
            self._ended_ms = request.ended_ms

    def _keep(self, record: Record, envelope: Envelope) -> None:
        kind = codec.event_types().get(envelope.type)
        room = MAX_RECORDS - (_ROOM_FOR_OTHERS if kind is not None and kind.STREAMED else 0)
        if len(self.found.records) < room:
            self.found.records.append(_view(record, envelope))
        else:
            self.found.cut = True


async def _between(
    reader: Reader, partitions: Sequence[Partition], window: _Window
) -> AsyncGenerator[Record, None]:
    """Yield what the broker has stamped within a window, up to the present ends."""
    await reader.read(dict.fromkeys(partitions, "end"))
    ends = {at: reader.position(at) for at in partitions}
    await reader.read(dict.fromkeys(partitions, Since(window.since_ms)))
    unread = {at for at, end in ends.items() if reader.position(at) < end}
    try:
        while unread:
            for record in await reader.poll(_POLL_SECONDS):
                if record.timestamp_ms > window.until_ms:
                    unread.discard(record.partition)
                elif record.partition in unread:
                    yield record
            unread -= {at for at in unread if reader.position(at) >= ends[at]}
    finally:
        await reader.leave(partitions)


def _is_keyed_otherwise(record: Record) -> bool:
    return record.partition.topic == USAGE_RECORDED.name or record.partition.topic.endswith(".dlq")


def _order(record: RecordView) -> tuple[int, str, int, int]:
    return record.time_ms, record.topic, record.partition, record.offset


def _view(record: Record, envelope: Envelope) -> RecordView:
    return RecordView(
        record.partition.topic,
        record.partition.number,
        record.offset,
        record.timestamp_ms,
        envelope.type,
        envelope.epoch,
        len(record.value or b""),
        {name: (value or b"").decode(errors="replace") for name, value in record.headers},
    )

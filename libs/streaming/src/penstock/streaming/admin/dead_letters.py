"""Dead letters: read, chosen, sent again or dropped.

Kafka deletes prefixes only, so a letter that is dealt with gets a marker, a record behind it in the same
topic that names its offset; what is dealt with from the beginning on is deleted. A letter is sent before it
is marked: after a crash in between it may be sent twice, never not at all.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from penstock.messages.envelope import Headers
from penstock.messages.event import InvalidEvent
from penstock.messages.topics import TOPICS, Topic
from penstock.streaming.ports import Partition, Producer, Reader, Record
from penstock.streaming.records import decode
from penstock.streaming.tracing import LINK_HEADER

DONE = "dlq_done"
DONE_OFFSET = "dlq_done_offset"
REPLAYED_FROM = "dlq_replayed_from"
FRESH_DEADLINE_MS = 120_000
_POLL_S = 0.5
_BY_DLQ = {topic.dlq: topic for topic in TOPICS}


@dataclass(frozen=True)
class DeadLetter:
    """One dead letter, without its body; `state` is empty, "replayed" or "dropped"."""

    topic: Topic
    offset: int
    time_ms: int
    stage: str
    error: str
    request_id: str
    tenant: str
    source_partition: int | None
    state: str = ""

    @property
    def location(self) -> str:
        """Where it lies, `<dlq topic>/<offset>`."""
        return f"{self.topic.dlq}/{self.offset}"


@dataclass(frozen=True)
class Choice:
    """Which letters are meant; empty fields mean all."""

    topic: Topic | None = None
    error: str = ""
    tenant: str = ""
    since_ms: int = 0
    until_ms: int | None = None
    limit: int | None = None
    done_too: bool = False

    def of(self, letters: Iterable[DeadLetter]) -> list[DeadLetter]:
        """The chosen letters, oldest first."""
        chosen = sorted(filter(self._wants, letters), key=_age)
        return chosen[: self.limit]

    def _wants(self, letter: DeadLetter) -> bool:
        return (
            self.topic in (None, letter.topic)
            and (self.done_too or not letter.state)
            and self.error.casefold() in letter.error.casefold()
            and self.tenant in ("", letter.tenant)
            and self.since_ms <= letter.time_ms
            and (self.until_ms is None or letter.time_ms < self.until_ms)
        )


@dataclass(frozen=True)
class Outcome:
    """What became of one letter: the offset that it has now, or why it was refused."""

    letter: DeadLetter
    record: Record
    offset: int | None = None
    refused: str = ""


@dataclass
class DeadLetters:
    """The dead letters of one broker; `delete_before` deletes prefixes, `now_ms` is Unix time."""

    reader: Reader
    producer: Producer
    delete_before: Callable[[Mapping[Partition, int]], Awaitable[None]]
    now_ms: Callable[[], int]

    async def list_all(self, topics: Sequence[Topic] = TOPICS) -> list[DeadLetter]:
        """Every letter that is kept, with its state."""
        return (await self._read(topics))[0]

    async def _read(self, topics: Sequence[Topic]) -> tuple[list[DeadLetter], dict[Topic, int]]:
        """The letters, and for each topic the offset behind the last record that was seen."""
        letters: dict[tuple[Topic, int], DeadLetter] = {}
        ends: dict[Topic, int] = {}
        async for record in self._records({Partition(topic.dlq, 0): None for topic in topics}):
            headers = _texts(record.headers)
            topic = _BY_DLQ[record.partition.topic]
            ends[topic] = record.offset + 1
            if DONE in headers:
                key = (topic, _number(headers.get(DONE_OFFSET)) or 0)
                if key in letters:
                    letters[key] = replace(letters[key], state=headers[DONE])
            else:
                letters[topic, record.offset] = _letter(topic, record, headers)
        return list(letters.values()), ends

    async def record(self, topic: Topic, offset: int) -> Record | None:
        """One letter with its body; None if it is not kept (any more) or is only a marker."""
        async for record in self._records({Partition(topic.dlq, 0): range(offset, offset + 1)}):
            if record.offset == offset and DONE not in dict(record.headers):
                return record
        return None

    async def replay(
        self, letters: Sequence[DeadLetter], *, force: bool = False, dry_run: bool = False
    ) -> AsyncIterator[Outcome]:
        """Sends letters to the topics they came from, and marks them. Raises BrokerError."""
        chosen = {(letter.topic.dlq, letter.offset): letter for letter in letters}
        async for record in self._records(_spans(letters)):
            letter = chosen.get((record.partition.topic, record.offset))
            if letter is None:
                continue
            again = self._again(record, letter)
            refused = _refusal(record, again, letter.topic, force=force)
            if refused or dry_run:
                yield Outcome(letter, again, refused=refused)
                continue
            offset = await self.producer.send(
                letter.topic.name, again.key, again.value, again.headers, letter.source_partition
            )
            await self._mark(letter, "replayed")
            yield Outcome(letter, again, offset)

    async def drop(self, letters: Sequence[DeadLetter]) -> None:
        """Marks letters as dealt with. Raises BrokerError."""
        for letter in letters:
            await self._mark(letter, "dropped")

    async def trim(self, topics: Sequence[Topic]) -> int:
        """Deletes what lies before the first letter that is not dealt with; returns how many letters went."""
        letters, ends = await self._read(topics)
        cuts: dict[Partition, int] = {}
        gone = 0
        for topic, end in ends.items():
            mine = [letter for letter in letters if letter.topic == topic]
            # Not the present end: a letter may have come since.
            cut = min((letter.offset for letter in mine if not letter.state), default=end)
            if before := sum(letter.offset < cut for letter in mine):
                cuts[Partition(topic.dlq, 0)] = cut
                gone += before
        if cuts:
            await self.delete_before(cuts)
        return gone

    async def _mark(self, letter: DeadLetter, state: str) -> None:
        headers = [
            (DONE, state.encode()),
            (DONE_OFFSET, b"%d" % letter.offset),
            ("dlq_time_ms", b"%d" % self.now_ms()),
        ]
        await self.producer.send(letter.topic.dlq, letter.location.encode(), None, headers, 0)

    def _again(self, record: Record, letter: DeadLetter) -> Record:
        """The record as it is sent again."""
        headers = [(name, value) for name, value in record.headers if not name.startswith("dlq_")]
        headers = _renewed(_relinked(headers), self.now_ms())
        headers.append((REPLAYED_FROM, letter.location.encode()))
        at = Partition(letter.topic.name, letter.source_partition or 0)
        return Record(at, record.offset, record.key, record.value, headers, 0)

    async def _records(self, spans: Mapping[Partition, range | None]) -> AsyncIterator[Record]:
        """Everything in these partitions up to their present ends, or in these offsets of them."""
        await self.reader.read(dict.fromkeys(spans, "end"))
        ends = {at: self.reader.position(at) for at in spans}
        ends |= {at: min(ends[at], span.stop) for at, span in spans.items() if span is not None}
        await self.reader.read(dict.fromkeys(spans, "beginning"))
        firsts = {at: self.reader.position(at) for at in spans}
        starts = {at: max(firsts[at], span.start) for at, span in spans.items() if span is not None}
        await self.reader.read(starts)
        try:
            while any(self.reader.position(at) < end for at, end in ends.items()):
                for record in await self.reader.poll(_POLL_S):
                    if record.offset < ends[record.partition]:
                        yield record
        finally:
            await self.reader.leave(list(spans))


def _age(letter: DeadLetter) -> tuple[int, str, int]:
    return letter.time_ms, letter.topic.name, letter.offset


def topic_named(name: str) -> Topic | None:
    """The topic of this name, or of this name of its dead letters."""
    return next((topic for topic in TOPICS if name in (topic.name, topic.dlq)), None)


def _spans(letters: Sequence[DeadLetter]) -> dict[Partition, range | None]:
    spans: dict[Partition, range | None] = {}
    for topic in {letter.topic for letter in letters}:
        offsets = [letter.offset for letter in letters if letter.topic == topic]
        spans[Partition(topic.dlq, 0)] = range(min(offsets), max(offsets) + 1)
    return spans


def _letter(topic: Topic, record: Record, headers: Mapping[str, str]) -> DeadLetter:
    return DeadLetter(
        topic=topic,
        offset=record.offset,
        time_ms=_number(headers.get("dlq_time_ms")) or record.timestamp_ms,
        stage=headers.get("dlq_stage", ""),
        error=headers.get("dlq_error", ""),
        request_id=headers.get("ce_subject", ""),
        tenant=headers.get("ce_tenant", ""),
        source_partition=_source(topic, headers),
    )


def _source(topic: Topic, headers: Mapping[str, str]) -> int | None:
    """The partition it came from, if there is such a one; without it the key chooses again."""
    number = _number(headers.get("dlq_partition"))
    return number if number is not None and number < topic.partitions else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def _texts(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    return {name: (value or b"").decode(errors="replace") for name, value in headers}


def _relinked(headers: Headers) -> Headers:
    """A trace of its own, with the one that failed as a link."""
    before = dict(headers).get("traceparent")
    kept = [(name, value) for name, value in headers if name not in ("traceparent", LINK_HEADER)]
    kept.append(("traceparent", f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01".encode()))
    return [*kept, (LINK_HEADER, before)] if before else kept


def _renewed(headers: Headers, now_ms: int) -> Headers:
    """A deadline that is over is set anew: nobody waits, but the answer is wanted."""
    deadline = _number(_texts(headers).get("ce_deadline"))
    if not deadline or deadline > now_ms:
        return headers
    fresh = b"%d" % (now_ms + FRESH_DEADLINE_MS)
    return [(name, fresh if name == "ce_deadline" else value) for name, value in headers]


def _refusal(kept: Record, again: Record, topic: Topic, *, force: bool) -> str:
    """Why a record is not sent again, or nothing."""
    if "dlq_body" in dict(kept.headers):
        return "its body was too large to be kept"
    if topic.compacted and again.key is None:
        return "its topic takes no record without a key"
    if force:
        return ""
    try:
        decode(again, topic)
    except InvalidEvent as error:
        return str(error)
    return ""

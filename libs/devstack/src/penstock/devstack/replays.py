"""Recorded requests, asked again: what was answered then, what is answered now, and how they differ."""

from __future__ import annotations

import re
import secrets
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Literal

import msgspec

from penstock.messages.chat import (
    AnswerCompared,
    AnswerCompleted,
    AnswerText,
    ChatRequested,
    Citation,
    CitedSpan,
    RequestCancelled,
    RequestFailed,
    Seen,
)
from penstock.messages.codec import encode
from penstock.messages.envelope import Envelope, to_headers
from penstock.messages.event import Event, InvalidEvent
from penstock.messages.ids import new_request_id
from penstock.messages.reading import Gap, Splice
from penstock.messages.topics import CHAT_REPLAYS, CHAT_REQUESTS, CHAT_RESPONSES, Topic
from penstock.streaming.ports import Partition, Producer, Reader, Record, Since
from penstock.streaming.records import decode, send
from penstock.streaming.stage import Received

SOURCE = "/penstock/replay"
DEADLINE_MS = 120_000
GRACE_MS = 5_000
CLOCK_SLACK_MS = 360_000
"""By so much may the clocks of those who wrote a question and its answer differ."""
_POLL_S = 0.2


@dataclass
class Answer:
    """One answer, as far as it is known."""

    asked_ms: int
    outcome: Literal["completed", "failed", "cancelled", "missing"] = "missing"
    text: str = ""
    tokens: int = 0
    citations: tuple[Citation, ...] = ()
    first_ms: int | None = None
    whole_ms: int | None = None
    _splice: Splice = field(default_factory=Splice)

    @property
    def ended(self) -> bool:
        return self.outcome != "missing"

    def add(self, event: Event, time_ms: int) -> None:
        """Takes the next event of the request in log order; after its end nothing counts."""
        if self.ended:
            return
        if isinstance(event, AnswerText):
            try:
                self.text += self._splice.add(event.start, event.text)
            except Gap:
                return  # its beginning is not kept any more
            self.first_ms = max(0, time_ms - self.asked_ms) if self.first_ms is None else self.first_ms
        elif isinstance(event, AnswerCompleted):
            self._end("completed", time_ms, event.usage.completion_tokens)
            self.citations = event.citations
        elif isinstance(event, RequestCancelled):
            self._end("cancelled", time_ms, event.usage.completion_tokens)
        elif isinstance(event, RequestFailed):
            self._end("failed", time_ms, 0)

    def _end(self, outcome: Literal["completed", "failed", "cancelled"], time_ms: int, tokens: int) -> None:
        self.outcome = outcome
        self.tokens = tokens
        self.whole_ms = max(0, time_ms - self.asked_ms)

    def seen(self, request_id: str) -> Seen:
        """What may be told of it without its text."""
        return Seen(
            request_id=request_id,
            outcome=self.outcome,
            length=len(self.text),
            completion_tokens=self.tokens,
            first_text_ms=self.first_ms,
            whole_ms=self.whole_ms,
        )


@dataclass(frozen=True)
class Recorded:
    """A question from the log with the answer it got."""

    envelope: Envelope
    question: ChatRequested
    answer: Answer


@dataclass(frozen=True)
class Compared:
    """Both answers, and the event that says how they differ."""

    recorded: Recorded
    after: Answer
    event: AnswerCompared


@dataclass
class Replays:
    """Asks recorded questions again on one broker; ``now_ms`` is Unix time."""

    reader: Reader
    producer: Producer
    now_ms: Callable[[], int]
    at_once: int = 4

    async def recorded(
        self, since_ms: int, until_ms: int | None = None, tenant: str = "", limit: int | None = None
    ) -> list[Recorded]:
        """The questions of that time, oldest first, each with its answer as far as the log keeps it.

        Those that were themselves asked by a replay are left out.
        """
        found: list[tuple[int, Recorded]] = []
        async for record, received in self._between(CHAT_REQUESTS, since_ms):
            envelope, question = received.envelope, received.event
            wanted = (until_ms is None or record.timestamp_ms < until_ms) and tenant in ("", envelope.tenant)
            if wanted and envelope.source != SOURCE and isinstance(question, ChatRequested):
                found.append(
                    (record.timestamp_ms, Recorded(envelope, question, Answer(asked_ms=envelope.time_ms)))
                )
        found.sort(key=lambda pair: pair[0])
        chosen = [recorded for _, recorded in found[:limit]]
        if chosen:
            await self._fill({recorded.envelope.subject: recorded.answer for recorded in chosen}, found[0][0])
        return chosen

    async def _fill(self, answers: dict[str, Answer], since_ms: int) -> None:
        async for _, received in self._between(CHAT_RESPONSES, max(0, since_ms - CLOCK_SLACK_MS)):
            answer = answers.get(received.envelope.subject)
            if answer is not None:
                answer.add(received.event, received.envelope.time_ms)

    async def ask_again(self, recorded: Sequence[Recorded]) -> AsyncGenerator[Compared, None]:
        """Asks a few at a time; yields each comparison when its answer has ended and the event is written.

        An answer that does not end within its deadline and a grace counts as missing. Raises BrokerError.
        """
        partitions = _partitions(CHAT_RESPONSES)
        await self.reader.read(dict.fromkeys(partitions, "end"))
        waiting = deque(recorded)
        running: dict[str, tuple[Recorded, Answer]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.at_once:
                    question = waiting.popleft()
                    request_id, answer = await self._ask(question)
                    running[request_id] = (question, answer)
                for record in await self.reader.poll(_POLL_S):
                    received = _decoded(record, CHAT_RESPONSES)
                    if received is not None and received.envelope.subject in running:
                        running[received.envelope.subject][1].add(received.event, received.envelope.time_ms)
                for request_id in [key for key, (_, answer) in running.items() if self._is_over(answer)]:
                    question, answer = running.pop(request_id)
                    yield await self._compare(question, request_id, answer)
        finally:
            await self.reader.leave(partitions)

    def _is_over(self, answer: Answer) -> bool:
        return answer.ended or self.now_ms() > answer.asked_ms + DEADLINE_MS + GRACE_MS

    async def _ask(self, recorded: Recorded) -> tuple[str, Answer]:
        before = recorded.envelope
        now = self.now_ms()
        request_id = new_request_id(before.reply_partition, now)
        envelope = Envelope(
            id=uuid.uuid4().hex,
            type=ChatRequested.TYPE,
            source=SOURCE,
            time_ms=now,
            subject=request_id,
            tenant=before.tenant,
            reply_partition=before.reply_partition,
            deadline_ms=now + DEADLINE_MS,
            traceparent=f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01",
        )
        headers = to_headers(envelope)
        if before.traceparent:
            headers.append(("tracelink", before.traceparent.encode()))
        question = msgspec.structs.replace(recorded.question, background=True)
        await self.producer.send(CHAT_REQUESTS.name, request_id.encode(), encode(question), headers)
        return request_id, Answer(asked_ms=now)

    async def _compare(self, recorded: Recorded, request_id: str, after: Answer) -> Compared:
        event = compared(recorded, request_id, after)
        envelope = Envelope(
            id=uuid.uuid4().hex,
            type=AnswerCompared.TYPE,
            source=SOURCE,
            time_ms=self.now_ms(),
            subject=request_id,
            tenant=recorded.envelope.tenant,
            reply_partition=recorded.envelope.reply_partition,
        )
        await send(self.producer, CHAT_REPLAYS, envelope, event)
        return Compared(recorded, after, event)

    async def _between(self, topic: Topic, since_ms: int) -> AsyncIterator[tuple[Record, Received[Event]]]:
        """The events of a topic from a time on up to its present end; what is none is left out."""
        partitions = _partitions(topic)
        await self.reader.read(dict.fromkeys(partitions, "end"))
        ends = {at: self.reader.position(at) for at in partitions}
        await self.reader.read(dict.fromkeys(partitions, Since(since_ms)))
        try:
            while any(self.reader.position(at) < end for at, end in ends.items()):
                for record in await self.reader.poll(_POLL_S):
                    received = _decoded(record, topic) if record.offset < ends[record.partition] else None
                    if received is not None:
                        yield record, received
        finally:
            await self.reader.leave(partitions)


def compared(recorded: Recorded, request_id: str, after: Answer) -> AnswerCompared:
    """How the answer now differs from the one then."""
    before = recorded.answer
    places_before, places_after = _places(before), _places(after)
    equal_text = before.text == after.text
    return AnswerCompared(
        model=recorded.question.model,
        before=before.seen(recorded.envelope.subject),
        after=after.seen(request_id),
        equal=equal_text and before.outcome == after.outcome,
        first_difference=None if equal_text else _common(before.text, after.text),
        added=tuple(place for place in places_after if place not in places_before),
        removed=tuple(place for place in places_before if place not in places_after),
    )


Change = Literal["same", "removed", "added"]


def changes(before: str, after: str) -> list[tuple[Change, str]]:
    """The two texts as one, word by word: what both have, what only the first or only the second has."""
    old, new = re.findall(r"\s+|\w+|[^\w\s]", before), re.findall(r"\s+|\w+|[^\w\s]", after)
    found: list[tuple[Change, str]] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(("same", "".join(old[a:b])))
            continue
        if b > a:
            found.append(("removed", "".join(old[a:b])))
        if d > c:
            found.append(("added", "".join(new[c:d])))
    return found


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _places(answer: Answer) -> list[CitedSpan]:
    places = [CitedSpan(document_id=c.document_id, start=c.start, end=c.end) for c in answer.citations]
    return list(dict.fromkeys(places))


def _partitions(topic: Topic) -> list[Partition]:
    return [Partition(topic.name, number) for number in range(topic.partitions)]


def _decoded(record: Record, topic: Topic) -> Received[Event] | None:
    try:
        return decode(record, topic)
    except InvalidEvent:
        return None

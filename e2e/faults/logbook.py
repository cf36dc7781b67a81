"""The log of the chat topics as plain data, and what its rules make of it. Pure.

The rules are those of penstock.messages.reading, written once more: a checker that used the product's own
code would not see what is wrong with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from penstock.messages.chat import (
    AnswerText,
    ChatRequested,
    EpochStarted,
    TextGenerated,
    UsageRecorded,
)
from penstock.messages.event import Event


@dataclass(frozen=True, slots=True)
class Entry:
    """One record that is an event; `moment` is the broker's time in Unix seconds."""

    topic: str
    partition: int
    offset: int
    moment: float
    request_id: str
    event: Event
    epoch: int = 0
    event_id: str = ""
    deadline: float = 0.0


@dataclass(slots=True)
class LoggedAnswer:
    """An answer by the rules of reading."""

    text: str = ""
    terminal: Event | None = None
    ended: float | None = None
    """Broker's time of the first terminal event."""
    ended_at: tuple[int, int] | None = None
    """Partition and offset of it."""
    gaps: list[str] = field(default_factory=list)
    fenced: int = 0
    """Records left out because of their epoch."""
    tokens: int = 0


class Owners:
    """Who owned each partition of chat.generated, in the order of the log."""

    def __init__(self) -> None:
        self._epochs: dict[int, int] = defaultdict(int)

    def admit(self, entry: Entry) -> bool:
        """Return whether readers count a record: no later owner has begun before it."""
        if entry.epoch < self._epochs[entry.partition]:
            return False
        self._epochs[entry.partition] = entry.epoch
        return True


@dataclass(frozen=True)
class Logbook:
    """All entries of the chat topics, in the order of the log within each partition."""

    entries: tuple[Entry, ...]

    def of(self, topic: str) -> list[Entry]:
        """The entries of one topic."""
        return [entry for entry in self.entries if entry.topic == topic]

    def questions(self) -> dict[str, Entry]:
        """The first ChatRequested of each request id."""
        found: dict[str, Entry] = {}
        for entry in self.of("chat.requests"):
            if isinstance(entry.event, ChatRequested):
                found.setdefault(entry.request_id, entry)
        return found

    def generated(self) -> dict[str, LoggedAnswer]:
        """The answers in chat.generated: fenced, spliced, up to the first terminal event."""
        return _fold(self.of("chat.generated"), fenced=True)

    def visible(self) -> dict[str, LoggedAnswer]:
        """The answers in chat.responses."""
        return _fold(self.of("chat.responses"), fenced=False)

    def counting(self) -> list[Entry]:
        """Return the entries without those of a replaced owner, which no reader counts."""
        owners = Owners()
        return [entry for entry in self.entries if entry.topic != "chat.generated" or owners.admit(entry)]

    def usage(self) -> Mapping[str, set[tuple[int, int]]]:
        """What was recorded for each request: more than one element means that it was counted twice."""
        found: dict[str, set[tuple[int, int]]] = defaultdict(set)
        for entry in self.of("usage.recorded"):
            if isinstance(entry.event, UsageRecorded):
                usage = entry.event.usage
                found[entry.event.request_id].add((usage.prompt_tokens, usage.completion_tokens))
        return found


def _fold(entries: Iterable[Entry], *, fenced: bool) -> dict[str, LoggedAnswer]:
    answers: dict[str, LoggedAnswer] = defaultdict(LoggedAnswer)
    owners = Owners()
    for entry in entries:
        admitted = not fenced or owners.admit(entry)
        if isinstance(entry.event, EpochStarted):
            continue
        answer = answers[entry.request_id]
        if not admitted:
            answer.fenced += 1
        elif answer.terminal is None:
            _take(answer, entry)
    return dict(answers)


def _take(answer: LoggedAnswer, entry: Entry) -> None:
    event = entry.event
    if isinstance(event, TextGenerated | AnswerText):
        known = len(answer.text)
        if event.start > known:
            answer.gaps.append(f"from {known} to {event.start}")
        else:
            answer.text += event.text[known - event.start :]
    elif event.TERMINAL:
        answer.terminal, answer.ended = event, entry.moment
        answer.ended_at = (entry.partition, entry.offset)

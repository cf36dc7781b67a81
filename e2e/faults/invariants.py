"""The checker: what must hold whatever was killed. Pure functions over plain data.

I1 every acknowledged request ends in exactly one terminal state by its deadline + 30 s;
I2 the client's bytes are a prefix of the expected ones and equal them when completed, no gap, no duplicate;
I3 backend slots are free within 2 s of a request's end;
I4 the committed offset never passes an unfinished record;
I5 at least 99 % complete, so that nothing passes vacuously.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from e2e.faults.asks import GIVEN_UP
from e2e.faults.logbook import Entry, Logbook, LoggedAnswer
from e2e.faults.seen import Seen
from penstock.messages.chat import (
    AnswerCompleted,
    ChatRequested,
    EpochStarted,
    RequestCancelled,
    RequestFailed,
)
from penstock.messages.event import Event

GRACE_S = 30.0
SLOT_S = 2.0
NOTICE_S = 3.0
"""A process that stood still must first be told by its group that it was replaced, before it frees a slot."""
ENOUGH = 0.99
Sort = Literal["lost", "doubled", "wrong", "slot", "commit", "vacuous", "flood"]


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: which (`I1` to `I5`), of what sort, of which request, and what was found."""

    rule: str
    sort: Sort
    request: str
    found: str


@dataclass(frozen=True, slots=True)
class SlotSample:
    """The scripts that the backend wrote at `moment`; `ended` ones should be gone."""

    moment: float
    scripts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Committed:
    """What a group had committed at one moment, and how far the log of its outputs reached just after.

    `below` is the committed offset of `topic`/`partition`; `reached` the end offsets of every partition of
    the topics that may hold what its records caused.
    """

    group: str
    topic: str
    partition: int
    below: int
    reached: dict[tuple[str, int], int]


def check_clients(seen: Iterable[Seen], log: Logbook, *, known_texts: bool = True) -> Iterator[Violation]:
    """I1 and I2. Without `known_texts` the log alone says what the answer is (a real engine wrote it)."""
    visible = log.visible()
    generated = log.generated()
    questions = log.questions()
    usage = log.usage()
    for one in seen:
        yield from _ending(one, visible.get(one.request_id), questions.get(one.request_id))
        yield from wrong_bytes(one, known_texts=known_texts)
        if one.request_id:
            yield from _against_the_log(
                one, visible.get(one.request_id, LoggedAnswer()), generated.get(one.request_id)
            )
            if len(usage.get(one.request_id, ())) > 1:
                yield Violation("I1", "doubled", one.ask.key, "its usage was recorded with two results")
    yield from _second_answers(log)


def _ending(one: Seen, logged: LoggedAnswer | None, question: Entry | None) -> Iterator[Violation]:
    key = one.ask.key
    if one.acknowledged is None:
        return
    if one.other_ids:
        yield Violation("I1", "doubled", key, f"its Idempotency-Key gave {1 + len(one.other_ids)} requests")
    if one.end is None or one.end.state in ("lost", "refused"):
        met = ", ".join(f"{count} {what}" for what, count in Counter(one.troubles).most_common(4))
        found = f"acknowledged as {one.request_id}, and no end came in time; met: {met or 'nothing'}"
        yield Violation("I1", "lost", key, found)
        return
    if question is None:
        yield Violation("I1", "lost", key, f"acknowledged as {one.request_id}, and not in the log")
        return
    if logged is None or logged.terminal is None or logged.ended is None:
        yield Violation("I1", "lost", key, f"{one.request_id} has no terminal event in the log")
        return
    if question.deadline and logged.ended > question.deadline + GRACE_S:
        late = logged.ended - question.deadline
        yield Violation("I1", "lost", key, f"its terminal event came {late:.0f} s after its deadline")
    if one.end.state not in ("left", _state(logged.terminal)):
        said = f"the client saw it {one.end.state}, the log says {_state(logged.terminal)}"
        yield Violation("I1", "wrong", key, said)


def _state(terminal: Event) -> str:
    names = {AnswerCompleted: "completed", RequestFailed: "failed", RequestCancelled: "cancelled"}
    return names.get(type(terminal), "unknown")


def wrong_bytes(one: Seen, *, known_texts: bool) -> Iterator[Violation]:
    """Yield what is wrong with the text that one client got, and with its events' places in it."""
    key, read = one.ask.key, 0
    for piece in one.pieces:
        read += len(piece.text)
        if piece.event is not None and piece.event != read:
            said = f"after {read} characters an event says {piece.event}"
            yield Violation("I2", "doubled" if piece.event < read else "lost", key, said)
            break
    if not known_texts:
        return
    whole, text = one.ask.expected(), one.text
    if not whole.text.startswith(text):
        yield Violation("I2", "wrong", key, _first_difference(whole.text, text))
    elif one.end is not None and one.end.state == "completed":
        if text != whole.text:
            yield Violation("I2", "lost", key, f"completed with {len(text)} of {len(whole.text)} characters")
        if one.end.finish_reason != whole.finish_reason:
            said = f"finish_reason {one.end.finish_reason} instead of {whole.finish_reason}"
            yield Violation("I2", "wrong", key, said)
        if one.end.tokens not in (None, whole.tokens):
            yield Violation("I2", "wrong", key, f"{one.end.tokens} tokens instead of {whole.tokens}")


def _first_difference(whole: str, text: str) -> str:
    place = next((n for n, (a, b) in enumerate(zip(whole, text, strict=False)) if a != b), len(whole))
    return f"wrong from character {place} on: {text[place : place + 24]!r}, not {whole[place : place + 24]!r}"


def _against_the_log(one: Seen, visible: LoggedAnswer, generated: LoggedAnswer | None) -> Iterator[Violation]:
    key, text = one.ask.key, one.text
    if not visible.text.startswith(text):
        yield Violation(
            "I2", "wrong", key, f"not what the log holds: {_first_difference(visible.text, text)}"
        )
    elif one.end is not None and one.end.state == "completed" and text != visible.text:
        said = f"completed with {len(text)} of the {len(visible.text)} characters in the log"
        yield Violation("I2", "lost", key, said)
    if isinstance(visible.terminal, AnswerCompleted):
        if visible.gaps:
            yield Violation("I2", "lost", key, f"a gap in chat.responses: {visible.gaps[0]}")
        if visible.terminal.length != len(visible.text):
            said = f"AnswerCompleted says {visible.terminal.length}, chat.responses has {len(visible.text)}"
            yield Violation("I2", "lost", key, said)
        if generated is not None and generated.text.lstrip() != visible.text:
            said = _first_difference(generated.text.lstrip(), visible.text)
            yield Violation("I2", "wrong", key, f"chat.responses is not what chat.generated gives: {said}")


def _second_answers(log: Logbook) -> Iterator[Violation]:
    """Two requests in the log for one question: a retry was taken for a new one."""
    asked: dict[str, set[str]] = defaultdict(set)
    for request_id, entry in log.questions().items():
        if isinstance(entry.event, ChatRequested):
            asked[entry.event.messages[-1].content].add(request_id)
    for question, ids in asked.items():
        if len(ids) > 1:
            yield Violation("I1", "doubled", question[-48:], f"asked once, {len(ids)} requests in the log")


def check_slots(
    samples: Iterable[SlotSample],
    seen: Iterable[Seen],
    log: Logbook,
    frozen: Sequence[tuple[float, float]] = (),
) -> Iterator[Violation]:
    """I3: nobody writes an answer whose end stands in the log for more than two seconds.

    `frozen` are times in which a process stood still and could free nothing.
    """
    generated, visible = log.generated(), log.visible()
    ended: dict[str, float] = {}
    for one in seen:
        ends = [
            answer.ended
            for answer in (generated.get(one.request_id), visible.get(one.request_id))
            if answer is not None and answer.ended is not None
        ]
        if ends:
            ended[one.ask.key] = min(ends)
    told: set[str] = set()
    for sample in samples:
        if any(begin <= sample.moment <= end + SLOT_S + NOTICE_S for begin, end in frozen):
            continue
        for script in sample.scripts - told:
            late = sample.moment - ended.get(script, sample.moment)
            if late > SLOT_S:
                told.add(script)
                yield Violation("I3", "slot", script, f"its slot was taken {late:.1f} s after its end")


def check_commits(commits: Iterable[Committed], log: Logbook) -> Iterator[Violation]:
    """I4: below a committed offset every record's request has what the record should have caused.

    `commits` come in order of time, so a record is judged by the first one that passes it.
    """
    counting = log.counting()
    caused = _caused(counting)
    inputs: dict[tuple[str, int], list[Entry]] = defaultdict(list)
    for entry in counting:
        inputs[entry.topic, entry.partition].append(entry)
    judged: dict[tuple[str, str, int], int] = defaultdict(int)
    told: set[tuple[str, str]] = set()
    for commit in commits:
        entries, at = inputs[commit.topic, commit.partition], (commit.group, commit.topic, commit.partition)
        while judged[at] < len(entries) and entries[judged[at]].offset < commit.below:
            entry = entries[judged[at]]
            judged[at] += 1
            if not entry.request_id or (commit.group, entry.request_id) in told or not _owes(entry):
                continue
            places = caused.get((commit.group, entry.request_id), [])
            if not any(offset < commit.reached.get((topic, number), 0) for topic, number, offset in places):
                told.add((commit.group, entry.request_id))
                yield Violation("I4", "commit", entry.request_id, _passed(commit, entry, bool(places)))


def _passed(commit: Committed, entry: Entry, came: bool) -> str:
    return (
        f"{commit.group} had committed {commit.topic}/{commit.partition} up to {commit.below},"
        f" past {type(entry.event).__name__} at {entry.offset}; its result"
        f" came {'later' if came else 'never'}"
    )


_OUTPUTS = {"tokenization": "chat.tokenized", "retrieval": "chat.retrieved"}


def _owes(entry: Entry) -> bool:
    if isinstance(entry.event, EpochStarted):
        return False
    return entry.topic in ("chat.requests", "chat.tokenized", "chat.retrieved", "chat.generated")


def _caused(entries: Iterable[Entry]) -> dict[tuple[str, str], list[tuple[str, int, int]]]:
    """Where the results stand that allow a group to be done with a request."""
    found: dict[tuple[str, str], list[tuple[str, int, int]]] = defaultdict(list)
    groups_of = {topic: group for group, topic in _OUTPUTS.items()}
    for entry in entries:
        place = (entry.topic, entry.partition, entry.offset)
        if entry.topic in groups_of:
            found[groups_of[entry.topic], entry.request_id].append(place)
        elif entry.topic == "chat.generated" and entry.event.TERMINAL:
            found["generation", entry.request_id].append(place)
        elif entry.topic == "chat.responses" and entry.event.TERMINAL:
            for group in (*_OUTPUTS, "generation", "postprocessing"):
                found[group, entry.request_id].append(place)
    return found


def check_share(seen: Sequence[Seen], enough: float = ENOUGH) -> Iterator[Violation]:
    """I5, over those who wanted their answer."""
    wanted = [one for one in seen if one.ask.kind not in GIVEN_UP]
    done = sum(one.end is not None and one.end.state == "completed" for one in wanted)
    if not wanted or done < enough * len(wanted):
        others = Counter(
            f"{one.end.state} {one.end.code}".strip() if one.end else "nothing"
            for one in wanted
            if one.end is None or one.end.state != "completed"
        )
        said = ", ".join(f"{count} {state}" for state, count in others.most_common(5))
        yield Violation("I5", "vacuous", "", f"{done} of {len(wanted)} completed ({said or 'none asked'})")

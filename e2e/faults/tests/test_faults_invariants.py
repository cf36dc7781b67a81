"""The checker itself: what holds passes, and every kind of breach is found."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.faults.asks import Ask, Kind
from e2e.faults.invariants import (
    Committed,
    SlotSample,
    Violation,
    check_clients,
    check_commits,
    check_share,
    check_slots,
)
from e2e.faults.logbook import Entry, Logbook
from e2e.faults.seen import End, Piece, Seen
from penstock.messages.chat import (
    AnswerCompleted,
    AnswerText,
    ChatRequested,
    EpochStarted,
    GenerationFinished,
    GenerationStarted,
    Message,
    RequestFailed,
    Sampling,
    TextGenerated,
    Usage,
    UsageRecorded,
)
from penstock.messages.event import Event

ASK = Ask("a", Kind.STREAM, 12)
WHOLE = ASK.expected()
RAW = f" {WHOLE.text}"
USAGE = Usage(prompt_tokens=5, completion_tokens=WHOLE.tokens)
ASKED = ChatRequested(model="m", messages=(Message(role="user", content=ASK.question),), sampling=Sampling())


def entry(topic: str, offset: int, event: Event, **more: object) -> Entry:
    given = {"partition": 0, "moment": 100.0 + offset, "request_id": "r", "deadline": 160.0} | more
    return Entry(topic=topic, offset=offset, event=event, **given)  # type: ignore[arg-type]  # test data


def generated(start: int, text: str, offset: int, epoch: int = 1) -> Entry:
    return entry("chat.generated", offset, TextGenerated(start=start, text=text), epoch=epoch)


def completed(length: int) -> AnswerCompleted:
    return AnswerCompleted(length=length, finish_reason="stop", usage=USAGE, citations=())


def book(*changes: Entry, without: str = "") -> Logbook:
    """A faultless log of one request in two pieces; an entry of the same place replaces it."""
    half = len(WHOLE.text) // 2
    entries = [
        entry("chat.requests", 0, ASKED),
        generated(0, RAW[: half + 1], 1),
        generated(half + 1, RAW[half + 1 :], 2),
        entry(
            "chat.generated",
            3,
            GenerationFinished(length=len(RAW), finish_reason="stop", usage=USAGE),
            epoch=1,
        ),
        entry("chat.responses", 1, AnswerText(start=0, text=WHOLE.text[:half])),
        entry("chat.responses", 2, AnswerText(start=half, text=WHOLE.text[half:])),
        entry("chat.responses", 3, completed(len(WHOLE.text))),
    ]
    places = {(change.topic, change.offset): change for change in changes}
    kept = [places.pop((one.topic, one.offset), one) for one in entries if one.topic != without]
    return Logbook((*kept, *places.values()))


def client(*texts: str, state: str = "completed") -> Seen:
    seen = Seen(ASK, 99.0, "r", 100.0)
    length = 0
    for text in texts or (WHOLE.text[:7], WHOLE.text[7:]):
        length += len(text)
        seen.pieces.append(Piece(101.0 + length, length, text))
    seen.end = End(state, 105.0, WHOLE.finish_reason, WHOLE.tokens)  # type: ignore[arg-type]  # test data
    return seen


def found(seen: Seen, log: Logbook, *, known_texts: bool = True) -> set[tuple[str, str]]:
    return {(v.rule, v.sort) for v in check_clients([seen], log, known_texts=known_texts)}


def test_a_faultless_answer_breaks_nothing() -> None:
    assert found(client(), book()) == set()
    assert found(client(WHOLE.text[:9], state="left"), book()) == set()


@given(st.data())
def test_any_cut_of_the_right_text_into_pieces_is_right(data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(WHOLE.text) - 1))))
    borders = [0, *cuts, len(WHOLE.text)]
    pieces = [WHOLE.text[a:b] for a, b in pairwise(borders)]
    assert found(client(*pieces), book()) == set()


@given(st.integers(0, len(WHOLE.text) - 2), st.integers(1, 6))
def test_text_that_is_lost_or_doubled_anywhere_is_found(place: int, length: int) -> None:
    lost = client(WHOLE.text[:place], WHOLE.text[place + length :])
    doubled = client(WHOLE.text[: place + length], WHOLE.text[place:])
    for seen in (lost, doubled):
        if seen.text != WHOLE.text:
            assert ("I2", "wrong") in found(seen, book()) or ("I2", "lost") in found(seen, book())


def test_events_whose_ids_do_not_join_are_found_even_if_the_text_looks_right() -> None:
    for shift, sort in ((-3, "doubled"), (3, "lost")):
        seen = client()
        seen.pieces[1] = replace(seen.pieces[1], event=len(WHOLE.text) + shift)
        assert found(seen, book()) == {("I2", sort)}


def test_an_end_that_is_not_the_expected_one_is_found() -> None:
    for end in (End("completed", 105, "length", WHOLE.tokens), End("completed", 105, "stop", 3)):
        seen = client()
        seen.end = end
        assert found(seen, book()) == {("I2", "wrong")}


@pytest.mark.parametrize("state", ["lost", "refused"])
def test_an_acknowledged_request_without_an_end_is_lost(state: str) -> None:
    assert ("I1", "lost") in found(client(WHOLE.text[:5], state=state), book())


def test_a_refused_request_that_was_never_acknowledged_breaks_nothing() -> None:
    seen = Seen(ASK, 99.0)
    seen.end = End("refused", 160.0)
    assert found(seen, Logbook(())) == set()
    assert [v.rule for v in check_share([seen])] == ["I5"]


def test_acknowledged_but_not_in_the_log_is_a_false_acknowledgement() -> None:
    assert found(client(), book(without="chat.requests")) >= {("I1", "lost")}


def test_a_client_and_a_log_that_disagree_about_the_end_are_found() -> None:
    failed = RequestFailed(code="x", message="x", status=500, stage="generation")
    assert ("I1", "wrong") in found(client(), book(entry("chat.responses", 3, failed)))


def test_an_end_more_than_thirty_seconds_after_the_deadline_is_too_late() -> None:
    late = entry("chat.responses", 3, completed(len(WHOLE.text)), moment=191.0)
    assert found(client(), book(late)) == {("I1", "lost")}
    in_time = entry("chat.responses", 3, completed(len(WHOLE.text)), moment=189.0)
    assert found(client(), book(in_time)) == set()


def test_a_second_request_for_the_same_question_is_a_second_answer() -> None:
    assert found(client(), book(entry("chat.requests", 9, ASKED, request_id="other"))) == {("I1", "doubled")}
    seen = client()
    seen.other_ids.add("other")
    assert found(seen, book()) == {("I1", "doubled")}


def test_usage_that_is_recorded_twice_with_other_numbers_is_found() -> None:
    twice = [
        entry(
            "usage.recorded",
            n,
            UsageRecorded(
                request_id="r", model="m", usage=Usage(prompt_tokens=5, completion_tokens=WHOLE.tokens + n)
            ),
        )
        for n in range(2)
    ]
    assert found(client(), book(*twice)) == {("I1", "doubled")}


def test_text_of_a_replaced_owner_that_reached_the_client_is_found_without_knowing_the_text() -> None:
    half = len(WHOLE.text) // 2
    zombie = [
        generated(0, RAW[: half + 1], 1),
        entry("chat.generated", 2, EpochStarted(instance="b"), epoch=2, request_id="p0"),
        generated(half + 1, "zombie" * 20, 3, epoch=1),
        generated(half + 1, RAW[half + 1 :], 4, epoch=2),
        entry(
            "chat.generated",
            5,
            GenerationFinished(length=len(RAW), finish_reason="stop", usage=USAGE),
            epoch=2,
        ),
    ]
    right = Logbook((*book(without="chat.generated").entries, *zombie))
    assert found(client(), right, known_texts=False) == set()
    shown = WHOLE.text[:half] + "zombie" * 20
    deceived = Logbook(
        (
            entry("chat.requests", 0, ASKED),
            *zombie,
            entry("chat.responses", 0, AnswerText(start=0, text=shown)),
            entry("chat.responses", 1, completed(len(shown))),
        )
    )
    assert found(client(shown), deceived, known_texts=False) == {("I2", "wrong")}


def test_a_slot_may_be_taken_for_two_seconds_after_the_end_and_no_longer() -> None:
    log = book()  # chat.generated ends at 103
    taken = [SlotSample(moment, frozenset({"a", "stranger"})) for moment in (101.0, 104.9)]
    assert [*check_slots(taken, [client()], log)] == []
    late = SlotSample(105.5, frozenset({"a"}))
    [violation] = check_slots([*taken, late], [client()], log)
    assert (violation.rule, violation.request) == ("I3", "a")
    assert [*check_slots([late], [client()], log, frozen=[(95.0, 104.0)])] == []
    assert [*check_slots([late], [client()], log, frozen=[(95.0, 100.0)])]


def commit(group: str, topic: str, below: int, reached: int) -> Committed:
    return Committed(group, topic, 0, below, {("chat.generated", 0): reached, ("chat.responses", 0): 0})


def test_a_commit_may_come_after_the_terminal_event_and_not_before() -> None:
    log = Logbook((*book().entries, entry("chat.retrieved", 4, ASKED)))
    assert [*check_commits([commit("generation", "chat.retrieved", 5, 4)], log)] == []
    assert [*check_commits([commit("generation", "chat.retrieved", 4, 0)], log)] == []
    violations: list[Violation] = [*check_commits([commit("generation", "chat.retrieved", 5, 3)], log)]
    assert [(v.rule, v.request) for v in violations] == [("I4", "r")]
    assert [v.rule for v in check_commits([commit("postprocessing", "chat.generated", 2, 9)], log)] == ["I4"]


def test_what_a_replaced_owner_wrote_is_owed_nothing_and_ends_nothing() -> None:
    marker = entry("chat.generated", 0, EpochStarted(instance="b"), epoch=2)
    late = [
        entry("chat.generated", 1, GenerationStarted(model="m", passages=()), epoch=1),
        entry("chat.generated", 2, RequestFailed(code="c", message="m", status=500, stage="s"), epoch=1),
    ]
    log = Logbook((marker, *late, entry("chat.retrieved", 4, ASKED)))
    assert [*check_commits([commit("postprocessing", "chat.generated", 3, 3)], log)] == []
    violations = check_commits([commit("generation", "chat.retrieved", 5, 3)], log)
    assert [v.rule for v in violations] == ["I4"]


def test_less_than_ninety_nine_percent_is_not_enough() -> None:
    good = [client() for _ in range(99)]
    assert [*check_share([*good, client(state="failed")])] == []
    assert [v.rule for v in check_share([*good[:98], *[client(state="failed")] * 2])] == ["I5"]
    assert [v.rule for v in check_share([])] == ["I5"]
    gone = client(state="left")
    gone.ask = replace(ASK, kind=Kind.GONE)
    assert [*check_share([*good, *[gone] * 50])] == []

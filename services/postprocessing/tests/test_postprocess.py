"""The fold from generated text to the visible answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.messages.chat import (
    AnswerCompleted,
    AnswerStarted,
    AnswerText,
    EpochStarted,
    GenerationFinished,
    GenerationStarted,
    Passage,
    RequestCancelled,
    RequestFailed,
    TextGenerated,
    Usage,
    UsageRecorded,
)
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_RESPONSES, USAGE_RECORDED
from penstock.postprocessing.handler import Answer, postprocess
from penstock.streaming.errors import PermanentError
from penstock.streaming.ports import Partition
from penstock.streaming.stage import Outgoing, Received

USAGE = Usage(prompt_tokens=9, completion_tokens=3)
PASSAGE = Passage(
    document_id="d", title="Dams", start=0, end=34, text="A penstock feeds the turbines water", tokens=8
)


def received(event: Event) -> Received[Event]:
    envelope = Envelope(id="i", type=event.TYPE, source="/s", time_ms=1, subject="req-1", tenant="t")
    return Received(event, envelope, Partition("chat.generated", 0), 0)


def run(*events: Event) -> tuple[list[Outgoing], Answer | None]:
    out: list[Outgoing] = []
    answer: Answer | None = None
    for event in events:
        answer, outgoing = postprocess(answer, received(event))
        out += outgoing
    return out, answer


def finished(length: int) -> GenerationFinished:
    return GenerationFinished(length=length, finish_reason="stop", usage=USAGE)


STARTED = GenerationStarted(model="m", passages=(PASSAGE,))


def text(start: int, content: str) -> TextGenerated:
    return TextGenerated(start=start, text=content)


def test_an_answer_streams_and_ends_with_citations_and_usage() -> None:
    out, answer = run(STARTED, text(0, "A penstock feeds"), text(16, " turbines [1]."), finished(30))
    assert answer is None
    events = [item.event for item in out]
    assert events[:3] == [
        AnswerStarted(model="m"),
        AnswerText(start=0, text="A penstock feeds"),
        AnswerText(start=16, text=" turbines [1]."),
    ]
    completed = events[3]
    assert isinstance(completed, AnswerCompleted)
    assert (completed.length, completed.finish_reason, completed.usage) == (30, "stop", USAGE)
    assert [c.document_id for c in completed.citations] == ["d"]
    assert out[3].topic is CHAT_RESPONSES
    assert out[4] == Outgoing(USAGE_RECORDED, UsageRecorded(request_id="req-1", model="m", usage=USAGE))


def test_white_space_before_the_answer_is_not_shown() -> None:
    out, _ = run(STARTED, text(0, "\n"), text(1, "  Hi"), text(5, " you"), finished(9))
    shown = [item.event for item in out if isinstance(item.event, AnswerText)]
    assert shown == [AnswerText(start=0, text="Hi"), AnswerText(start=2, text=" you")]
    completed = out[-2].event
    assert isinstance(completed, AnswerCompleted)
    assert completed.length == 6


pieces = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6), st.booleans()), max_size=10)


@given(st.text(min_size=1, max_size=12), pieces)
def test_repeated_and_overlapping_pieces_show_the_text_once(
    content: str, drawn: list[tuple[int, int, bool]]
) -> None:
    events: list[Event] = [STARTED]
    known = 0
    for begin, length, again in [*drawn, (12, 12, False)]:  # the last takes what is left
        start = min(begin, known)
        if piece := content[start : start + length]:
            events.append(text(start, piece))
            known = max(known, start + len(piece))
        if again:
            events.append(STARTED)
    out, _ = run(*events, finished(len(content)))
    shown = ""
    for item in out:
        if isinstance(item.event, AnswerText):
            assert item.event.start == len(shown)
            shown += item.event.text
    assert shown == content.lstrip()
    assert sum(isinstance(item.event, AnswerStarted) for item in out) == 1


@pytest.mark.parametrize("event", [text(3, "gap"), finished(7)])
def test_missing_text_is_an_error_and_never_a_silent_gap(event: Event) -> None:
    _, answer = run(STARTED, text(0, "ab"))
    with pytest.raises(PermanentError, match=r"missing|characters"):
        postprocess(answer, received(event))


def test_a_failure_is_passed_on_and_ends_the_answer() -> None:
    failed = RequestFailed(code="backend_unavailable", message="gone", status=503, stage="generation")
    out, answer = run(STARTED, text(0, "ab"), failed)
    assert answer is None
    assert out[-1] == Outgoing(CHAT_RESPONSES, failed)


def test_a_cancellation_ends_the_answer_and_what_was_written_is_paid() -> None:
    cancelled = RequestCancelled(reason="requested", length=4, usage=USAGE)
    out, answer = run(STARTED, text(0, "  ab"), cancelled)
    assert answer is None
    shown = RequestCancelled(reason="requested", length=2, usage=USAGE)
    assert out[-2] == Outgoing(CHAT_RESPONSES, shown)
    assert out[-1] == Outgoing(USAGE_RECORDED, UsageRecorded(request_id="req-1", model="m", usage=USAGE))


def test_a_cancellation_before_any_answer_costs_nothing() -> None:
    cancelled = RequestCancelled(reason="disconnected", length=0, usage=USAGE)
    assert run(cancelled) == ([Outgoing(CHAT_RESPONSES, cancelled)], None)


def test_a_marker_of_an_owner_says_nothing() -> None:
    assert run(EpochStarted(instance="generation")) == ([], None)


def test_the_rest_of_an_answer_that_ended_before_a_restart_says_nothing() -> None:
    assert run(text(5, "rest"), finished(9)) == ([], None)


def test_an_answer_that_was_ended_for_its_loop_says_so() -> None:
    end = GenerationFinished(length=2, finish_reason="stop", usage=USAGE, looped=True)
    completed = run(STARTED, text(0, "ha"), end)[0][-2].event
    assert isinstance(completed, AnswerCompleted)
    assert completed.looped

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
    Grounding,
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
from penstock.postprocessing.handler import Answer, Postprocessing
from penstock.streaming.errors import PermanentError
from penstock.streaming.ports import Partition
from penstock.streaming.stage import Outgoing, Received

USAGE = Usage(prompt_tokens=9, completion_tokens=3)
PASSAGE = Passage(
    document_id="d", title="Dams", start=0, end=34, text="A penstock feeds the turbines water", tokens=8
)


postprocess = Postprocessing(lambda question: "de" if question.startswith("Was") else "").handle


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


DEADLINE = Passage(
    document_id="d",
    title="Deadlines",
    start=100,
    end=190,
    text="A request has a deadline. Its deadline counts from acceptance. See also [3].",
    tokens=20,
)
RECORDS = Passage(
    document_id="e", title="Records", start=0, end=24, text="Kafka keeps all records.", tokens=5
)


def without_model(
    query: str, grounding: Grounding, *passages: Passage
) -> tuple[str, AnswerCompleted, list[Outgoing]]:
    usage = Usage(prompt_tokens=0, completion_tokens=0)
    end = GenerationFinished(length=0, finish_reason="stop", usage=usage, grounding=grounding)
    out, answer = run(GenerationStarted(model="m", passages=passages, query=query), end)
    assert answer is None
    text = "".join(item.event.text for item in out if isinstance(item.event, AnswerText))
    [completed] = [item.event for item in out if isinstance(item.event, AnswerCompleted)]
    assert completed.length == len(text)
    assert completed.usage == usage
    return text, completed, out


def test_passages_are_quoted_word_for_word_with_their_places() -> None:
    text, completed, out = without_model("When does the deadline count from?", "quoted", RECORDS, DEADLINE)
    assert text == "The documents say:\n\n“Its deadline counts from acceptance.” [2]"
    [cited] = completed.citations
    assert (cited.index, cited.document_id, cited.start, cited.end) == (2, "d", 126, 162)
    assert cited.quote == "Its deadline counts from acceptance."
    assert completed.grounding == "quoted"
    assert out[-1].topic is USAGE_RECORDED


def test_a_number_within_a_quote_cites_nothing() -> None:
    _, completed, _ = without_model("see also", "quoted", DEADLINE, RECORDS, PASSAGE)
    assert [cited.index for cited in completed.citations] == [1]


def test_what_is_not_found_is_said_in_the_language_of_the_question() -> None:
    for question, said in [
        ("Was ist eine Frist?", "Das steht nicht in den Dokumenten."),
        ("Mikä on määräaika?", "The documents do not say."),
    ]:
        text, completed, _ = without_model(question, "not_found")
        assert text == said
        assert (completed.citations, completed.grounding) == ((), "not_found")


@pytest.mark.parametrize(
    ("answer", "grounding"),
    [
        ("A penstock feeds the turbines.", "supported"),
        ("A penstock feeds the turbines water [1]. [1]", "supported"),
        ("Nigeria won the World Cup in 1998 [1].", "unsupported"),
        ("A penstock feeds turbines. Nigeria won the cup. Ghana was second.", "unsupported"),
        ("[1]", "unsupported"),
        ("", "unsupported"),
    ],
)
def test_an_answer_says_whether_the_passages_support_it(answer: str, grounding: str) -> None:
    out, _ = run(STARTED, *([text(0, answer)] if answer else []), finished(len(answer)))
    completed = out[-2].event
    assert isinstance(completed, AnswerCompleted)
    assert completed.grounding == grounding


def test_without_passages_nothing_is_said_of_support() -> None:
    out, _ = run(GenerationStarted(model="m", passages=()), text(0, "Yes."), finished(4))
    completed = out[-2].event
    assert isinstance(completed, AnswerCompleted)
    assert completed.grounding is None


@pytest.mark.parametrize("answer", ["The documents do not say.", " Das steht nicht in den Dokumenten.\n"])
def test_a_model_that_finds_nothing_cites_nothing(answer: str) -> None:
    out, _ = run(STARTED, text(0, answer), finished(len(answer)))
    completed = out[-2].event
    assert isinstance(completed, AnswerCompleted)
    assert (completed.citations, completed.grounding) == ((), "not_found")

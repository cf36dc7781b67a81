"""The answer's rules: text once and in order, one end, whatever the log repeats or mixes in."""

from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway.domain.answer import Answer, Effect
from penstock.gateway.domain.errors import ApiError, timed_out
from penstock.gateway.domain.render import Chunks, Transcript
from penstock.gateway.domain.wire import ChatCompletionChunk, ErrorResponse
from penstock.messages.chat import (
    AnswerCompleted,
    AnswerStarted,
    AnswerText,
    RequestCancelled,
    RequestFailed,
    Usage,
)
from penstock.messages.event import Event
from penstock.messages.ids import new_request_id


def started() -> AnswerStarted:
    return AnswerStarted(model="m")


def completed(length: int) -> AnswerCompleted:
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    return AnswerCompleted(length=length, finish_reason="stop", usage=usage, citations=())


def failed(code: str = "broken") -> RequestFailed:
    return RequestFailed(code=code, message="No.", status=500, stage="x")


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@st.composite
def logs(draw: st.DrawFn) -> tuple[str, list[Event]]:
    """A text, and a log in which it stands cut in order, between any repetitions."""
    text = draw(TEXT)
    cuts = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=5))})
    right: list[Event] = [AnswerText(start=a, text=text[a:b]) for a, b in pairwise(cuts)]

    def any_piece() -> Event:
        a = draw(st.integers(0, len(text) - 1))
        return AnswerText(start=a, text=text[a : draw(st.integers(a + 1, len(text)))])

    log: list[Event] = []
    for event in [started(), *right, completed(len(text))]:
        # An early end says more than is there, and so cannot count; the whole text makes it the end.
        noise = draw(st.lists(st.sampled_from(["piece", "start", "early end"]), max_size=3))
        told = {"piece": any_piece, "start": started, "early end": lambda: completed(len(text))}
        log += [told[kind]() for kind in noise]
        log.append(event)
    after = st.sampled_from([failed("late"), completed(0), AnswerText(start=len(text), text="late")])
    return text, log + draw(st.lists(after, max_size=3))


@given(logs(), st.integers(1, 7))
def test_any_log_that_holds_the_answer_shows_it_once(case: Any, piece: int) -> None:
    text, log = case
    answer = Answer(max_chars=1000)
    request_id = new_request_id(0, 1_700_000_000_000)
    streams = [Transcript(answer, Chunks(request_id, "m", False), piece=piece) for _ in range(2)]
    sent = [b"", b""]
    for number, event in enumerate(log):
        answer.apply(event)
        assert text.startswith(answer.text_from(0, 1000))
        sent[0] += drain(streams[0])  # one stream keeps up
        if number % 3 == 0:
            sent[1] += streams[1].due()  # the other lags behind
    sent[1] += drain(streams[1])

    assert answer.text_from(0, 1000) == text
    assert isinstance(answer.end, AnswerCompleted)
    for stream, data in zip(streams, sent, strict=True):
        assert stream.closed
        assert shown(data) == text


def drain(stream: Transcript) -> bytes:
    data = b""
    while due := stream.due():
        data += due
    return data


def parsed(data: bytes) -> list[tuple[int, bytes]]:
    """Return the events of a stream with their ids."""
    *events, rest = data.split(b"\n\n")
    assert rest == b""
    pairs = [event.removeprefix(b"id: ").split(b"\ndata: ", 1) for event in events]
    return [(int(number), content) for number, content in pairs]


def shown(data: bytes) -> str:
    *events, (last, done) = parsed(data)
    assert done == b"[DONE]"
    chunks = [msgspec.json.decode(event, type=ChatCompletionChunk) for _, event in events]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    text = ""
    for (number, _), chunk in zip(events[:-1], chunks, strict=False):
        text += chunk.choices[0].delta.content or ""
        assert number == len(text)
    assert (events[-1][0], last) == (len(text) + 1, len(text) + 3)
    return text


@given(TEXT, st.data(), st.booleans(), st.integers(1, 7), st.integers(1, 7))
def test_a_stream_goes_on_after_any_event_without_a_seam(
    text: str, data: st.DataObject, usage: bool, piece: int, other: int
) -> None:
    """Cut anywhere, gone on with at another gateway and pace: the same text, each event once."""
    answer = Answer(max_chars=1000)
    for event in (started(), AnswerText(start=0, text=text), completed(len(text))):
        answer.apply(event)
    request_id = new_request_id(0, 1_700_000_000_000)
    whole = parsed(drain(Transcript(answer, Chunks(request_id, "m", usage), piece=piece)))
    cut = data.draw(st.integers(1, len(whole)))
    last = whole[cut - 1][0]
    resumed = Transcript(answer, Chunks(request_id, "m", usage), last, other)
    events = [*whole[:cut], *parsed(drain(resumed))]
    assert resumed.last == len(text) + 3
    numbers = [number for number, _ in events]
    assert numbers == sorted(set(numbers))
    chunks = [msgspec.json.decode(event, type=ChatCompletionChunk) for _, event in events[:-1]]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text
    assert events[-1] == whole[-1]


def test_a_stream_that_is_ahead_of_its_gateway_waits() -> None:
    answer = Answer(100)
    answer.apply(AnswerText(start=0, text="ab"))
    stream = Transcript(answer, Chunks(new_request_id(0, 0), "m", False), after=4)
    assert (stream.due(), stream.can_begin) == (b"", False)
    answer.apply(AnswerText(start=2, text="cdef"))
    assert stream.can_begin
    [(number, event)] = parsed(stream.due())
    assert (number, b'"content":"ef"' in event) == (6, True)


def test_a_cancelled_answer_ends_with_its_text_and_an_error() -> None:
    answer = Answer(100)
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    cancelled = RequestCancelled(reason="requested", length=2, usage=usage)
    assert answer.apply(cancelled) is Effect.GAP
    answer.apply(AnswerText(start=0, text="ab"))
    stream = Transcript(answer, Chunks(new_request_id(0, 0), "m", False))
    assert answer.apply(cancelled) is Effect.NEWS
    *_, (number, event) = parsed(drain(stream))
    error = msgspec.json.decode(event, type=ErrorResponse).error
    assert (number, error.code, stream.last) == (3, "request_cancelled", 3)
    assert answer.final


def test_an_end_made_here_has_no_id_since_the_answer_may_go_on() -> None:
    answer = Answer(100)
    answer.apply(AnswerText(start=0, text="ab"))
    answer.fail(timed_out(1))
    stream = Transcript(answer, Chunks(new_request_id(0, 0), "m", False), after=2)
    assert stream.due().startswith(b"data: {")
    assert (answer.final, stream.last) == (False, None)


def test_a_gap_is_told_and_waits_for_the_text_between() -> None:
    answer = Answer(100)
    answer.apply(AnswerText(start=0, text="ab"))
    assert answer.apply(AnswerText(start=3, text="d")) is Effect.GAP
    assert answer.apply(completed(4)) is Effect.GAP
    assert answer.text_from(0, 100) == "ab"
    assert answer.end is None
    assert answer.apply(AnswerText(start=1, text="bcd")) is Effect.NEWS
    assert answer.apply(completed(4)) is Effect.NEWS
    assert answer.text_from(0, 100) == "abcd"


def test_nothing_counts_after_the_first_end() -> None:
    answer = Answer(100)
    answer.apply(AnswerText(start=0, text="ab"))
    answer.apply(failed("first"))
    for event in (AnswerText(start=2, text="X"), failed("second"), completed(2)):
        assert answer.apply(event) is Effect.NOTHING
    assert answer.fail(timed_out(1)) is Effect.NOTHING
    assert isinstance(answer.end, ApiError)
    assert answer.end.code == "first"
    assert answer.text_from(0, 100) == "ab"


def test_an_end_before_the_shown_text_is_an_error() -> None:
    answer = Answer(100)
    answer.apply(AnswerText(start=0, text="ab"))
    answer.apply(completed(1))
    assert isinstance(answer.end, ApiError)
    assert answer.end.code == "answer_inconsistent"


def test_an_answer_without_bound_is_cut() -> None:
    answer = Answer(10)
    answer.apply(AnswerText(start=0, text="0123456789"))
    assert answer.end is None
    answer.apply(AnswerText(start=10, text="x"))
    assert isinstance(answer.end, ApiError)
    assert answer.end.code == "answer_too_large"


def test_foreign_events_do_not_count() -> None:
    answer = Answer(10)
    assert answer.apply(Event()) is Effect.UNEXPECTED
    assert not answer.started


def test_an_empty_answer_is_whole() -> None:
    answer = Answer(10)
    answer.apply(started())
    answer.apply(completed(0))
    stream = Transcript(answer, Chunks(new_request_id(0, 0), "m", False))
    assert shown(drain(stream)) == ""


def test_a_failed_stream_shows_its_text_first() -> None:
    answer = Answer(10)
    answer.apply(AnswerText(start=0, text="half"))
    answer.apply(failed())
    stream = Transcript(answer, Chunks(new_request_id(0, 0), "m", True))
    (_, first), (_, text), (number, error) = parsed(drain(stream))
    assert b'"role":"assistant"' in first
    assert b'"content":"half"' in text
    assert b'"usage":null' in text
    told = msgspec.json.decode(error, type=ErrorResponse)
    assert (told.error.code, told.error.type, number) == ("broken", "server_error", 5)

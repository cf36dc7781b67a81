"""The answer's rules: text once and in order, one end, whatever the log repeats or mixes in."""

from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway.domain.answer import Answer, Told
from penstock.gateway.domain.errors import ApiError, timed_out
from penstock.gateway.domain.render import Chunks, Transcript
from penstock.gateway.domain.wire import ChatCompletionChunk, ErrorResponse
from penstock.messages.chat import AnswerCompleted, AnswerStarted, AnswerText, RequestFailed, Usage
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
def logs(draw: st.DrawFn) -> tuple[str, list[tuple[int, Event]]]:
    """A text, and a log in which it stands cut in order, between any repetitions and foreign epochs."""
    text = draw(TEXT)
    cuts = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=5))})
    right: list[Event] = [AnswerText(start=a, text=text[a:b]) for a, b in pairwise(cuts)]

    def any_piece() -> Event:
        a = draw(st.integers(0, len(text) - 1))
        return AnswerText(start=a, text=text[a : draw(st.integers(a + 1, len(text)))])

    log: list[tuple[int, Event]] = []
    epoch = draw(st.integers(1, 3))
    for event in [started(), *right, completed(len(text))]:
        for kind in draw(st.lists(st.sampled_from(["piece", "old", "start", "early end"]), max_size=3)):
            if kind == "piece":
                log.append((epoch, any_piece()))
            elif kind == "start":
                log.append((epoch, started()))
            elif kind == "early end":
                # An end that says more than is there cannot count; the whole text makes it the end.
                log.append((epoch, completed(len(text))))
            elif kind == "old":
                foreign = draw(st.sampled_from([AnswerText(start=0, text="zombie!"), failed("zombie")]))
                log.append((epoch - 1, foreign) if log else (epoch, started()))
        log.append((epoch, event))
    for _ in range(draw(st.integers(0, 3))):
        late = draw(st.sampled_from([failed("late"), completed(0), AnswerText(start=len(text), text="late")]))
        log.append((epoch + draw(st.integers(0, 1)), late))
    return text, log


@given(logs(), st.integers(1, 7))
def test_any_log_that_holds_the_answer_shows_it_once(case: Any, piece: int) -> None:
    text, log = case
    answer = Answer(max_chars=1000)
    request_id = new_request_id(0, 1_700_000_000_000)
    streams = [Transcript(answer, Chunks(request_id, "m", False), piece) for _ in range(2)]
    sent = [b"", b""]
    for number, (epoch, event) in enumerate(log):
        answer.tell(epoch, event)
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


def shown(data: bytes) -> str:
    *events, done, rest = data.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    chunks = [
        msgspec.json.decode(event.removeprefix(b"data: "), type=ChatCompletionChunk) for event in events
    ]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def test_a_gap_is_told_and_waits_for_the_text_between() -> None:
    answer = Answer(100)
    answer.tell(0, AnswerText(start=0, text="ab"))
    assert answer.tell(0, AnswerText(start=3, text="d")) is Told.GAP
    assert answer.tell(0, completed(4)) is Told.GAP
    assert answer.text_from(0, 100) == "ab"
    assert answer.end is None
    assert answer.tell(0, AnswerText(start=1, text="bcd")) is Told.NEWS
    assert answer.tell(0, completed(4)) is Told.NEWS
    assert answer.text_from(0, 100) == "abcd"


def test_a_newer_epoch_continues_and_shuts_out_the_older() -> None:
    answer = Answer(100)
    answer.tell(1, AnswerText(start=0, text="ab"))
    answer.tell(2, AnswerText(start=2, text="c"))
    for event in (AnswerText(start=3, text="X"), failed(), completed(3), started()):
        assert answer.tell(1, event) is Told.NOTHING
    answer.tell(2, AnswerText(start=3, text="d"))
    assert answer.text_from(0, 100) == "abcd"
    assert answer.end is None


def test_nothing_counts_after_the_first_end() -> None:
    answer = Answer(100)
    answer.tell(0, AnswerText(start=0, text="ab"))
    answer.tell(0, failed("first"))
    for event in (AnswerText(start=2, text="X"), failed("second"), completed(2)):
        assert answer.tell(1, event) is Told.NOTHING
    assert answer.fail(timed_out(1)) is Told.NOTHING
    assert isinstance(answer.end, ApiError)
    assert answer.end.code == "first"
    assert answer.text_from(0, 100) == "ab"


def test_an_end_before_the_shown_text_is_an_error() -> None:
    answer = Answer(100)
    answer.tell(0, AnswerText(start=0, text="ab"))
    answer.tell(0, completed(1))
    assert isinstance(answer.end, ApiError)
    assert answer.end.code == "answer_inconsistent"


def test_an_answer_without_bound_is_cut() -> None:
    answer = Answer(10)
    answer.tell(0, AnswerText(start=0, text="0123456789"))
    assert answer.end is None
    answer.tell(0, AnswerText(start=10, text="x"))
    assert isinstance(answer.end, ApiError)
    assert answer.end.code == "answer_too_large"


def test_foreign_events_do_not_count() -> None:
    answer = Answer(10)
    assert answer.tell(0, Event()) is Told.UNEXPECTED
    assert not answer.started


def test_an_empty_answer_is_whole() -> None:
    answer = Answer(10)
    answer.tell(0, started())
    answer.tell(0, completed(0))
    stream = Transcript(answer, Chunks(new_request_id(0, 0), "m", False))
    assert shown(drain(stream)) == ""


def test_a_failed_stream_shows_its_text_first() -> None:
    answer = Answer(10)
    answer.tell(0, AnswerText(start=0, text="half"))
    answer.tell(0, failed())
    stream = Transcript(answer, Chunks(new_request_id(0, 0), "m", True))
    first, text, error, rest = drain(stream).split(b"\n\n")
    assert b'"role":"assistant"' in first
    assert b'"content":"half"' in text
    assert b'"usage":null' in text
    told = msgspec.json.decode(error.removeprefix(b"data: "), type=ErrorResponse)
    assert (told.error.code, told.error.type, rest) == ("broken", "server_error", b"")

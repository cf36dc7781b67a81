"""Server-sent events as bytes: however the stream is cut, and whatever signs are in it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.clients.errors import WrongDialect
from penstock.clients.events import EVENT_BYTES, Events

LINE_ENDS_TO_UNICODE = "\u2028\u2029\u0085\v\f\x1c\x1d\x1e"
lines = st.text(st.sampled_from("ab:é \t{}" + LINE_ENDS_TO_UNICODE), max_size=6)
events = st.lists(lines, min_size=1, max_size=3)
noise = st.sampled_from(["", ": a comment\n", "event: x\n", "id:7\n", "retry: 1\n", "nonsense\n", "\n"])


def fed(pieces: list[bytes]) -> list[bytes]:
    split = Events()
    return [event for piece in pieces for event in split.feed(piece)]


@given(st.data())
def test_any_events_in_any_pieces_are_the_same_events(data: st.DataObject) -> None:
    wanted = data.draw(st.lists(events, max_size=5))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    stream = b""
    for event in wanted:
        text = "".join(
            f"{data.draw(noise)}data:{' ' if line[:1] == ' ' or data.draw(st.booleans()) else ''}{line}\n"
            if not index
            else f"data: {line}\n"
            for index, line in enumerate(event)
        )
        stream += (text + "\n").replace("\n", end).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    borders = [0, *cuts, len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(borders)]
    assert fed(pieces) == ["\n".join(event).encode() for event in wanted]


@pytest.mark.parametrize("sign", LINE_ENDS_TO_UNICODE)
def test_what_only_unicode_takes_for_a_line_end_is_text(sign: str) -> None:
    event = f'{{"text":"a{sign}b"}}'.encode()
    assert fed([b"data:" + event + b"\n\n"]) == [event]


def test_an_event_that_the_end_cuts_off_does_not_count() -> None:
    assert fed([b"data: a\n\ndata: b\n"]) == [b"a"]


def test_data_without_a_value_is_an_empty_line() -> None:
    assert fed([b"data\ndata:\ndata: x\n\n", b"data:\n\n"]) == [b"\n\nx", b""]


@pytest.mark.parametrize("piece", [b"x" * 1000, b"data:" + b"x" * 1000 + b"\n", b": comment" * 100])
def test_an_event_too_large_is_refused_and_not_kept(piece: bytes) -> None:
    with pytest.raises(WrongDialect, match=f"more than {EVENT_BYTES} bytes"):
        fed([piece] * (2 * EVENT_BYTES // 900))


def test_many_events_together_may_be_larger_than_one() -> None:
    event = b"data:" + b"x" * 1000 + b"\n\n"
    split = Events()
    count = sum(
        len(split.feed(event[:500]) + split.feed(event[500:])) for _ in range(2 * EVENT_BYTES // 1000)
    )
    assert count == 2 * EVENT_BYTES // 1000
    assert len(split.feed(event * count)) == count

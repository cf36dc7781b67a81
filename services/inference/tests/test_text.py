from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from penstock.inference.domain.offsets import character_spans
from penstock.inference.domain.text import (
    ByteDetokenizer,
    StopMatcher,
    TextAssembler,
    Vocabulary,
    WindowDetokenizer,
)

BYTES = Vocabulary([bytes([value]) for value in range(256)], frozenset())


def cut(raw: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(at, len(raw)) for at in cuts} | {0, len(raw)})
    return [raw[start:end] for start, end in pairwise(places)]


@given(st.text(), st.lists(st.integers(0, 60)))
def test_pieces_join_to_the_text_and_are_whole_characters(text: str, cuts: list[int]) -> None:
    pieces = cut(text.encode(), cuts)
    detokenizer = ByteDetokenizer(Vocabulary(pieces, frozenset()))
    shown = [detokenizer.push(token) for token in range(len(pieces))]
    assert "".join(shown) == text
    assert "\ufffd" not in "".join(shown) or "\ufffd" in text


@given(st.binary(max_size=30))
def test_bytes_that_are_no_text_never_fail_and_are_left_out(raw: bytes) -> None:
    detokenizer = ByteDetokenizer(BYTES)
    shown = "".join(detokenizer.push(value) for value in raw)
    assert raw.decode(errors="ignore").startswith(shown)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufffd"), max_size=20))
def test_the_window_detokenizer_gives_the_same_text(text: str) -> None:
    detokenizer = WindowDetokenizer(lambda ids: bytes(ids).decode(errors="replace"))
    assert "".join(detokenizer.push(value) for value in text.encode()) == text


@given(st.text("ab", max_size=20), st.lists(st.text("ab", min_size=1, max_size=4), max_size=4), st.data())
def test_a_stop_sequence_is_found_wherever_the_pieces_are_cut(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(text))))
    pieces = cut(text.encode(), cuts)
    assembler = TextAssembler(ByteDetokenizer(Vocabulary(pieces, frozenset())), frozenset(), stops)
    ended = False
    for token in range(len(pieces)):
        _, ended = assembler.push(token)
        if ended:
            break
    ends = [text.index(stop) + len(stop) for stop in stops if stop in text]
    assert ended == bool(ends)
    assert assembler.text == (text[: min(ends)] if ends else text)


def test_the_answer_ends_with_the_stop_sequence_and_not_behind_it() -> None:
    matcher = StopMatcher(["END"])
    assert matcher.push("so it E") is None
    assert matcher.push("ND of it") == 2


def test_control_tokens_add_nothing() -> None:
    assembler = TextAssembler(
        ByteDetokenizer(Vocabulary([b"a", b"<|im_end|>"], frozenset({1}))), frozenset({1}), ()
    )
    assert assembler.push(0) == ("a", False)
    assert assembler.push(1) == ("", False)
    assert assembler.text == "a"


@given(st.text(min_size=1), st.lists(st.integers(0, 60)))
def test_spans_cover_the_text_in_order(text: str, cuts: list[int]) -> None:
    pieces = cut(text.encode(), cuts)
    spans = character_spans(text, pieces)
    assert spans is not None
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    for (_, stop), (start, _) in pairwise(spans):
        assert start in (stop, stop - 1)


def test_spans_are_refused_where_the_pieces_are_another_text() -> None:
    assert character_spans("gate", [b"Gate"]) is None

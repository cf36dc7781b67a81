"""What holds for every text and every way of cutting it into tokens, and where the cuts fall."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.devstack.chunking import Span, chunk

Tokens = list[tuple[int, int]]

TEXTS = st.text(st.sampled_from("ab. \n#!é漢🙂"), max_size=400)
SIZES = st.integers(1, 30).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))


def words(text: str) -> Tokens:
    """Tokens as byte-level BPE makes them: a word with the space before it; marks of their own."""
    return [(m.start(), m.end()) for m in re.finditer(r" ?\w+|\s|[^\w\s]", text)]


@st.composite
def tokenised(draw: st.DrawFn) -> tuple[str, Tokens]:
    """A text with one token for each of some characters, several for others, as byte-level tokens are."""
    text = draw(TEXTS)
    tokens: Tokens = []
    at = 0
    while at < len(text):
        width = draw(st.integers(1, 4))
        copies = draw(st.integers(1, 3)) if ord(text[at]) > 127 else 1
        stop = min(at + (1 if copies > 1 else width), len(text))
        tokens += [(at, stop)] * copies
        at = stop
    return text, tokens


@given(tokenised(), SIZES)
def test_every_character_is_covered_in_order(given_text: tuple[str, Tokens], sizes: tuple[int, int]) -> None:
    text, tokens = given_text
    spans = chunk(text, tokens, *sizes)
    covered = {at for span in spans for at in range(span.start, span.end)}
    assert covered >= {at for at, character in enumerate(text) if not character.isspace()}
    assert spans == sorted(spans, key=lambda span: (span.start, span.end))
    for earlier, later in pairwise(spans):
        assert later.start > earlier.start
        assert later.end > earlier.end


@given(tokenised(), SIZES)
def test_no_chunk_is_longer_than_allowed(given_text: tuple[str, Tokens], sizes: tuple[int, int]) -> None:
    text, tokens = given_text
    size, _ = sizes
    for span in chunk(text, tokens, *sizes):
        inside = [token for token in tokens if span.start <= token[0] < span.end]
        assert len(inside) <= span.tokens
        several = len(inside) > len(set(inside))  # tokens that share a character cannot be parted
        assert span.tokens <= size or several


@given(tokenised(), SIZES)
def test_neighbours_overlap_by_no_more_than_asked(
    given_text: tuple[str, Tokens], sizes: tuple[int, int]
) -> None:
    text, tokens = given_text
    _, overlap = sizes
    spans = chunk(text, tokens, *sizes)
    for earlier, later in pairwise(spans):
        assert sum(later.start <= start < earlier.end for start, _ in tokens) <= overlap


@given(tokenised(), SIZES)
def test_it_is_deterministic_and_trims(given_text: tuple[str, Tokens], sizes: tuple[int, int]) -> None:
    text, tokens = given_text
    spans = chunk(text, tokens, *sizes)
    assert spans == chunk(text, tokens, *sizes)
    assert all(text[span.start : span.end] == text[span.start : span.end].strip() != "" for span in spans)


def test_a_short_text_is_one_chunk() -> None:
    assert chunk("  one two\n", words("  one two\n"), 10, 2) == [Span(2, 9, 4)]
    assert chunk(" \n ", words(" \n "), 10, 2) == []
    assert chunk("", [], 10, 2) == []


def cut(text: str, size: int, overlap: int) -> list[str]:
    return [text[span.start : span.end] for span in chunk(text, words(text), size, overlap)]


def test_it_prefers_headings_then_paragraphs_then_sentences() -> None:
    paragraph = "One two three. Four five six. Seven eight."
    assert cut(f"{paragraph}\n\nNine ten.\n# Next\nEleven twelve thirteen.", 20, 0) == [
        f"{paragraph}\n\nNine ten.",
        "# Next\nEleven twelve thirteen.",
    ]
    assert cut(f"{paragraph}\n\nNine ten eleven twelve.", 15, 0)[0] == paragraph
    assert cut("One two three. Four five six. Seven eight nine ten eleven.", 10, 0)[0] == (
        "One two three. Four five six."
    )


def test_the_overlap_starts_with_a_sentence() -> None:
    text = "Alpha one two. Beta one two three four five. Gamma one. Delta one two three four five six."
    first, second, *_ = cut(text, 16, 5)
    assert first.endswith("Gamma one.")
    assert second.startswith("Gamma one. Delta")


def test_a_text_without_any_border_is_cut_at_the_limit() -> None:
    text = "x" * 25
    spans = chunk(text, [(at, at + 1) for at in range(25)], 10, 2)
    assert [(span.start, span.end) for span in spans] == [(0, 10), (8, 18), (16, 25)]


def test_an_overlap_as_long_as_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        chunk("a", [(0, 1)], 10, 10)

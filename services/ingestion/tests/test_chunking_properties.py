"""What holds for every document and every way of cutting it into tokens."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from penstock.ingestion.domain.chunking import Piece, chunk
from penstock.ingestion.domain.parsed import Block, Kind, Parsed

Tokens = list[tuple[int, int]]

TITLES = st.sampled_from("abc")
BODIES = st.text(st.sampled_from("ab. \n#|é漢🙂"), max_size=120)
SIZES = st.integers(1, 30).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))


@st.composite
def documents(draw: st.DrawFn) -> Parsed:
    """Text with headings of three levels and blocks of all kinds under them."""
    text = ""
    blocks: list[Block] = []
    path: list[str] = []

    def add(kind: Kind, body: str) -> None:
        nonlocal text
        if stripped := body.strip():
            start = len(text) + len(body) - len(body.lstrip())
            page = len(blocks) + 1
            blocks.append(Block(kind, start, start + len(stripped), tuple(path), page))
        text += body + draw(st.sampled_from(["\n", "\n\n"]))

    for _ in range(draw(st.integers(0, 6))):
        if level := draw(st.integers(0, 3)):
            title = draw(TITLES)
            path[level - 1 :] = [title]
            add(Kind.HEADING, "#" * level + title)
        for _ in range(draw(st.integers(0, 2))):
            add(draw(st.sampled_from([Kind.TEXT, Kind.TABLE, Kind.CODE])), draw(BODIES))
    return Parsed("title", text, tuple(blocks))


@st.composite
def tokenised(draw: st.DrawFn) -> tuple[Parsed, Tokens]:
    """A document with one token for each of some characters, several for others, as byte-level tokens are."""
    parsed = draw(documents())
    tokens: Tokens = []
    at = 0
    while at < len(parsed.text):
        width = draw(st.integers(1, 4))
        copies = draw(st.integers(1, 3)) if ord(parsed.text[at]) > 127 else 1
        stop = min(at + (1 if copies > 1 else width), len(parsed.text))
        tokens += [(at, stop)] * copies
        at = stop
    return parsed, tokens


def text_of(parsed: Parsed, place: Block | Piece) -> str:
    return parsed.text[place.start : place.end]


def blocks_of(parsed: Parsed, piece: Piece) -> list[Block]:
    return [block for block in parsed.blocks if block.start < piece.end and block.end > piece.start]


@given(tokenised(), SIZES)
def test_every_character_is_covered_in_order(
    given_text: tuple[Parsed, Tokens], sizes: tuple[int, int]
) -> None:
    parsed, tokens = given_text
    pieces = chunk(parsed, tokens, *sizes)
    covered = {at for piece in pieces for at in range(piece.start, piece.end)}
    assert covered >= {at for at, character in enumerate(parsed.text) if not character.isspace()}
    for earlier, later in pairwise(pieces):
        assert later.start > earlier.start
        assert later.end > earlier.end


@given(tokenised(), SIZES)
def test_no_chunk_is_longer_than_allowed(given_text: tuple[Parsed, Tokens], sizes: tuple[int, int]) -> None:
    parsed, tokens = given_text
    size, _ = sizes
    for piece in chunk(parsed, tokens, *sizes):
        inside = [token for token in tokens if token[0] < piece.end and token[1] > piece.start]
        assert len(inside) <= piece.tokens
        several = len(inside) > len(set(inside))  # tokens that share a character cannot be parted
        assert piece.tokens <= size or several


@given(tokenised(), SIZES)
def test_neighbours_overlap_by_no_more_than_asked(
    given_text: tuple[Parsed, Tokens], sizes: tuple[int, int]
) -> None:
    parsed, tokens = given_text
    for earlier, later in pairwise(chunk(parsed, tokens, *sizes)):
        assert sum(later.start <= start < earlier.end for start, _ in tokens) <= sizes[1]


@given(tokenised(), SIZES)
def test_it_is_deterministic_and_trims(given_text: tuple[Parsed, Tokens], sizes: tuple[int, int]) -> None:
    parsed, tokens = given_text
    pieces = chunk(parsed, tokens, *sizes)
    assert pieces == chunk(parsed, tokens, *sizes)
    for piece in pieces:
        assert text_of(parsed, piece) == text_of(parsed, piece).strip() != ""


@given(tokenised(), SIZES)
def test_sections_are_mixed_only_as_siblings_or_with_a_bare_heading_above(
    given_text: tuple[Parsed, Tokens], sizes: tuple[int, int]
) -> None:
    parsed, tokens = given_text
    for piece in chunk(parsed, tokens, *sizes):
        for block in blocks_of(parsed, piece):
            above = piece.headings[: len(block.headings)] == block.headings
            bare = block.kind is Kind.HEADING or (
                block.kind is Kind.CODE and "\n" not in text_of(parsed, block)
            )
            sibling = block.headings[:-1] == piece.headings
            assert block.headings == piece.headings or sibling or (above and bare)


@given(tokenised(), SIZES)
def test_siblings_that_share_a_chunk_are_there_as_a_whole(
    given_text: tuple[Parsed, Tokens], sizes: tuple[int, int]
) -> None:
    parsed, tokens = given_text
    for piece in chunk(parsed, tokens, *sizes):
        blocks = blocks_of(parsed, piece)
        if len({block.headings for block in blocks if len(block.headings) > len(piece.headings)}) > 1:
            assert blocks[0].start >= piece.start
            assert blocks[-1].end <= piece.end


@given(tokenised(), SIZES)
def test_the_page_is_that_of_the_start(given_text: tuple[Parsed, Tokens], sizes: tuple[int, int]) -> None:
    parsed, tokens = given_text
    for piece in chunk(parsed, tokens, *sizes):
        assert piece.page == blocks_of(parsed, piece)[0].page


@given(documents(), SIZES)
def test_words_as_tokens(parsed: Parsed, sizes: tuple[int, int]) -> None:
    """Tokens as byte-level BPE makes them: a word with the space before it, marks of their own."""
    tokens = [(m.start(), m.end()) for m in re.finditer(r" ?\w+|\s+|[^\w\s]", parsed.text)]
    pieces = chunk(parsed, tokens, *sizes)
    assert all(piece.tokens <= sizes[0] for piece in pieces)
    assert bool(pieces) == bool(parsed.text.strip())

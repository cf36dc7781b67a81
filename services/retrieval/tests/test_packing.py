"""What goes into a prompt: within its budget, nothing twice, in the source's order, neighbours as one."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from penstock.messages.chat import Passage
from penstock.retrieval.domain.duplicates import without_duplicates
from penstock.retrieval.domain.packing import MAX_PASSAGES, PASSAGE_OVERHEAD_TOKENS, fits_any, pack
from penstock.retrieval.domain.passages import Found
from penstock.retrieval.domain.relevance import coverage, is_relevant, relevance
from penstock.retrieval.domain.rerank import rerank

WORDS = " ".join(f"word{n}" for n in range(400))
DOCUMENTS = {name: f"{name} " + WORDS.replace("word", name) for name in ("a", "b", "c")}


def found(text: str, score: float = 0.5, tokens: int = 10, document: str = "doc", start: int = 0) -> Found:
    passage = Passage(
        document_id=document, title="T", start=start, end=start + len(text), text=text, tokens=tokens
    )
    return Found(passage, score, similarity=score)


def piece(document: str, start: int, length: int, score: float, tokens: int) -> Found:
    """A passage as it stands in one of the documents."""
    return found(DOCUMENTS[document][start : start + length], score, tokens, document, start)


def texts(passages: tuple[Passage, ...]) -> list[str]:
    return [passage.text for passage in passages]


pieces = st.lists(
    st.builds(
        piece,
        st.sampled_from(sorted(DOCUMENTS)),
        st.integers(0, 600),
        st.integers(1, 200),
        st.sampled_from([n / 20 for n in range(21)]),
        st.integers(1, 120),
    ),
    max_size=20,
)


@given(pieces, st.integers(0, 600), st.integers(1, 8))
def test_the_budget_is_kept_and_every_text_is_what_stands_in_the_document(
    candidates: list[Found], budget: int, most: int
) -> None:
    packed = pack(candidates, budget, most)
    assert len(packed) <= most
    assert sum(passage.tokens + PASSAGE_OVERHEAD_TOKENS for passage in packed) <= budget or not packed
    for passage in packed:
        assert passage.text == DOCUMENTS[passage.document_id][passage.start : passage.end]


@given(pieces, st.integers(0, 600))
def test_documents_come_by_their_best_passage_and_passages_in_their_order_apart(
    candidates: list[Found], budget: int
) -> None:
    packed = pack(candidates, budget)
    for one, later in pairwise(packed):
        if one.document_id == later.document_id:
            assert one.end < later.start  # neither touching nor the same
    order = list(dict.fromkeys(passage.document_id for passage in packed))
    assert len([n for n, (a, b) in enumerate(pairwise(packed)) if a.document_id != b.document_id]) == max(
        0, len(order) - 1
    )

    def best(document: str) -> float:
        within = [p for p in packed if p.document_id == document]
        return max(
            c.score
            for c in candidates
            if c.passage.document_id == document
            and any(p.start <= c.passage.start and c.passage.end <= p.end for p in within)
        )

    scores = [best(document) for document in order]
    assert scores == sorted(scores, reverse=True)


@given(pieces, st.integers(0, 600), st.randoms(use_true_random=False))
def test_the_order_in_which_candidates_come_does_not_matter(
    candidates: list[Found], budget: int, shuffle: random.Random
) -> None:
    unique = list({each.location: each for each in candidates}.values())
    shuffled = unique.copy()
    shuffle.shuffle(shuffled)
    assert pack(shuffled, budget) == pack(unique, budget)


@given(pieces)
def test_of_near_duplicates_the_first_stays_and_doing_it_again_changes_nothing(
    candidates: list[Found],
) -> None:
    kept = list(without_duplicates(candidates))
    assert kept[:1] == candidates[:1]
    assert list(without_duplicates(kept)) == kept
    assert list(without_duplicates([*kept, *candidates])) == kept


def test_the_best_that_fit_are_taken_and_one_too_long_leaves_its_room_to_the_next() -> None:
    candidates = [found("low", 0.1), found("high", 0.9, document="d2"), found("middle", 0.5, document="d3")]
    assert texts(pack(candidates, 2 * (10 + PASSAGE_OVERHEAD_TOKENS))) == ["high", "middle"]
    assert texts(pack([found("long", 0.9, tokens=500), found("short", 0.5, 5)], 100)) == ["short"]


def test_a_passage_that_fits_exactly_is_taken_and_one_token_less_leaves_it() -> None:
    assert len(pack([found("x")], 10 + PASSAGE_OVERHEAD_TOKENS)) == 1
    assert pack([found("x")], 10 + PASSAGE_OVERHEAD_TOKENS - 1) == ()
    assert not fits_any(PASSAGE_OVERHEAD_TOKENS)
    assert fits_any(PASSAGE_OVERHEAD_TOKENS + 1)


def test_no_more_than_five_are_taken_unless_the_request_says_so() -> None:
    candidates = [found(f"text{n}", document=f"d{n}") for n in range(20)]
    assert len(pack(candidates, 100_000)) == MAX_PASSAGES == 5
    assert len(pack(candidates, 100_000, most=12)) == 12


def test_nearly_the_same_text_counts_once_at_its_best_place() -> None:
    text = "The quick brown fox jumps over the lazy dog, and then it sleeps in the sun until noon."
    same = text.upper().replace(",", " -")
    nearly = text.replace("noon", "evening")
    other = text.replace("fox", "cat").replace("sun", "shade").replace("lazy", "busy")
    candidates = [
        found(same, 0.5, document="d1"),
        found(text, 0.9, document="d2"),
        found(nearly, 0.7, document="d3"),
        found(other, 0.3, document="d4"),
    ]
    assert [p.document_id for p in pack(candidates, 1000)] == ["d2", "d4"]


def test_neighbours_become_one_with_the_tokens_of_what_they_share_counted_once() -> None:
    first, second = piece("a", 0, 100, 0.5, 40), piece("a", 80, 100, 0.9, 50)
    [passage] = pack([first, second], 1000)
    assert (passage.start, passage.end, passage.tokens) == (0, 180, 80)
    assert passage.text == DOCUMENTS["a"][:180]
    [passage] = pack([piece("a", 0, 100, 0.5, 40), piece("a", 100, 80, 0.9, 50)], 1000)
    assert (passage.end, passage.tokens) == (180, 90)
    [passage] = pack([piece("a", 0, 150, 0.5, 40), piece("a", 20, 100, 0.9, 30)], 1000)
    assert (passage.start, passage.end, passage.tokens) == (0, 150, 40)


def test_what_is_not_just_the_documents_text_is_left_apart() -> None:
    """A table's second part that repeats its head: its characters are not those of its text."""
    table = Found(Passage(document_id="a", title="T", start=90, end=120, text="head row " * 9, tokens=9), 0.9)
    assert len(pack([piece("a", 0, 100, 0.5, 40), table], 1000)) == 2


def test_the_same_place_in_another_store_is_another_document() -> None:
    one = piece("a", 0, 100, 0.5, 40)
    other = Found(piece("a", 100, 100, 0.5, 40).passage, 0.5, store_id="vs_other")
    assert len(pack([one, other], 1000)) == 2


def test_a_passage_is_relevant_by_meaning_or_by_most_of_the_words() -> None:
    def alike(similarity: float, *, by_words: bool = False) -> Found:
        passage = Passage(document_id="d", title="Errors", start=0, end=9, text="E1234 disk full", tokens=4)
        return Found(passage, 0.03, similarity, by_words)

    assert is_relevant("anything", alike(0.4), 0.25)
    assert not is_relevant("anything", alike(0.2), 0.25)
    assert is_relevant("what is E1234?", alike(0.1, by_words=True), 0.25)
    assert not is_relevant("what is full?", alike(0.1, by_words=True), 0.25)
    assert is_relevant("E1234", alike(0.1, by_words=True), 0.25)
    assert is_relevant("error E1234: disk", alike(0.1, by_words=True), 0.25)
    assert not is_relevant("E1234", alike(0.1), 0.25)
    assert is_relevant("anything", alike(0.1), 0.25, min_score=0.02)
    assert not is_relevant("E1234", alike(0.4, by_words=True), 0.25, min_score=0.04)
    assert relevance(alike(-0.3)) == 0
    assert coverage("is it", alike(0.1)) == 0


@given(pieces)
def test_ranking_again_keeps_what_there_is_with_scores_from_0_to_1_best_first(
    candidates: list[Found],
) -> None:
    ranked = rerank("a1 b2 c3", candidates)
    assert sorted(each.location for each in ranked) == sorted(each.location for each in candidates)
    scores = [each.score for each in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)

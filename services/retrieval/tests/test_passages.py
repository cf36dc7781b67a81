"""Filling the token budget, and fusing rankings."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.messages.chat import Passage
from penstock.retrieval.domain.fusion import fuse
from penstock.retrieval.domain.passages import (
    MAX_PASSAGES,
    PASSAGE_OVERHEAD_TOKENS,
    Found,
    fill_budget,
    fits_any,
    searchable_text,
)


def found(text: str, score: float, tokens: int = 10, document: str = "doc", start: int = 0) -> Found:
    return Found(
        Passage(document_id=document, title="T", start=start, end=start, text=text, tokens=tokens), score
    )


def texts(passages: tuple[Passage, ...]) -> list[str]:
    return [passage.text for passage in passages]


any_found = st.lists(
    st.builds(
        found,
        st.sampled_from("abcdefgh"),
        st.floats(0, 1),
        st.integers(0, 200),
        st.sampled_from(["d1", "d2"]),
        st.integers(0, 50),
    ),
    max_size=30,
)


class TestFillBudget:
    def test_the_best_that_fit_are_taken_best_first(self) -> None:
        candidates = [found("low", 0.1), found("high", 0.9), found("middle", 0.5)]
        assert texts(fill_budget(candidates, 2 * (10 + PASSAGE_OVERHEAD_TOKENS))) == ["high", "middle"]

    def test_a_passage_too_long_leaves_its_room_to_the_next(self) -> None:
        candidates = [found("long", 0.9, tokens=500), found("short", 0.5, tokens=5)]
        assert texts(fill_budget(candidates, 100)) == ["short"]

    def test_a_passage_that_fits_exactly_is_taken_and_one_token_less_leaves_it(self) -> None:
        assert len(fill_budget([found("x", 1)], 10 + PASSAGE_OVERHEAD_TOKENS)) == 1
        assert fill_budget([found("x", 1)], 10 + PASSAGE_OVERHEAD_TOKENS - 1) == ()

    def test_the_same_text_counts_once_at_its_best_place(self) -> None:
        [passage] = fill_budget([found("same", 0.5, document="d2"), found("same", 0.9, document="d1")], 1000)
        assert passage.document_id == "d1"

    def test_no_more_than_five_are_taken_however_much_fits(self) -> None:
        assert len(fill_budget([found(str(n), n) for n in range(20)], 100_000)) == MAX_PASSAGES == 5

    def test_no_budget_takes_nothing(self) -> None:
        assert fill_budget([found("x", 1, tokens=0)], 0) == ()
        assert not fits_any(0)
        assert not fits_any(PASSAGE_OVERHEAD_TOKENS)
        assert fits_any(PASSAGE_OVERHEAD_TOKENS + 1)

    @given(any_found, st.integers(0, 400))
    def test_it_keeps_the_budget_and_leaves_out_nothing_that_would_have_fit(
        self, candidates: list[Found], budget: int
    ) -> None:
        chosen = fill_budget(candidates, budget)
        left = budget - sum(passage.tokens + PASSAGE_OVERHEAD_TOKENS for passage in chosen)
        assert left >= 0
        assert len(set(texts(chosen))) == len(chosen) <= MAX_PASSAGES
        if len(chosen) < MAX_PASSAGES:
            left_out = [c.passage for c in candidates if c.passage.text not in texts(chosen)]
            assert all(passage.tokens + PASSAGE_OVERHEAD_TOKENS > left for passage in left_out)

    @given(any_found, st.integers(0, 400), st.randoms())
    def test_the_order_in_which_candidates_come_does_not_matter(
        self, candidates: list[Found], budget: int, random: Random
    ) -> None:
        places = {(c.passage.document_id, c.passage.start): c for c in candidates}
        unique = list(places.values())
        shuffled = unique.copy()
        random.shuffle(shuffled)
        assert fill_budget(shuffled, budget) == fill_budget(unique, budget)


class TestFuse:
    def test_scores_are_those_of_the_paper(self) -> None:
        assert fuse([["a", "b"], ["b"]]) == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61})

    @given(st.lists(st.lists(st.integers(0, 20), unique=True, max_size=10), max_size=4))
    def test_every_item_is_scored_and_rising_in_one_ranking_never_hurts(
        self, rankings: list[list[int]]
    ) -> None:
        scores = fuse(rankings)
        assert scores.keys() == {item for ranking in rankings for item in ranking}
        for n, ranking in enumerate(rankings):
            if len(ranking) > 1:
                last = ranking[-1]
                risen = fuse([*rankings[:n], [last, *ranking[:-1]], *rankings[n + 1 :]])
                assert risen[last] > scores[last]


def test_a_chunk_is_searched_with_its_title_but_not_with_an_endless_one() -> None:
    assert searchable_text("Title", "text") == "Title\ntext"
    assert len(searchable_text("t" * 10_000, "text")) < 300

"""Fusing rankings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.retrieval.domain.fusion import fuse


def test_scores_are_those_of_the_paper() -> None:
    assert fuse([["a", "b"], ["b"]]) == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61})


@given(st.lists(st.lists(st.integers(0, 20), unique=True, max_size=10), max_size=4))
def test_every_item_is_scored_and_rising_in_one_ranking_never_hurts(rankings: list[list[int]]) -> None:
    scores = fuse(rankings)
    assert scores.keys() == {item for ranking in rankings for item in ranking}
    for n, ranking in enumerate(rankings):
        if len(ranking) > 1:
            last = ranking[-1]
            risen = fuse([*rankings[:n], [last, *ranking[:-1]], *rankings[n + 1 :]])
            assert risen[last] > scores[last]

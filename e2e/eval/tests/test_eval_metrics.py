"""The metrics of known-item retrieval."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from e2e.eval.corpus import PYTHON, entries, pages
from e2e.eval.metrics import rank_of, scores
from e2e.eval.questions import questions


def test_a_first_place_scores_one_and_a_miss_nothing() -> None:
    best = scores([1, 1])
    assert (best.recall_at_1, best.mrr, best.ndcg_at_10) == (1, 1, 1)
    worst = scores([None, 11])
    assert (worst.recall_at_10, worst.mrr, worst.ndcg_at_10) == (0, 0, 0)


def test_averages_count_places() -> None:
    found = scores([1, 3, None, 7])
    assert (found.recall_at_1, found.recall_at_5, found.recall_at_10) == (0.25, 0.5, 0.75)
    assert found.mrr == pytest.approx((1 + 1 / 3 + 1 / 7) / 4)
    assert found.ndcg_at_10 == pytest.approx((1 + 0.5 + 1 / 3) / 4)


def test_a_page_counts_once_at_its_best_passage() -> None:
    assert rank_of("b", ["a", "a", "b", "a", "b"]) == 2
    assert rank_of("c", ["a"]) is None


def test_questions_name_pages_of_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    page = "<html><title>json &#8212; JSON encoder &#8212; Python 3.11 documentation</title></html>"
    (tmp_path / "library" / "json.html").write_text(page)
    (tmp_path / "genindex-all.html").write_text(
        '<a href="library/json.html#json.dump">dump() (in module json)</a>'
        '<a href="library/json.html#x">(in module json)</a>'
        '<a href="library/gone.html#x">gone()</a>'
    )
    found = pages(PYTHON, tmp_path)
    assert [(p.name, p.title) for p in found] == [("library/json.html", "json — JSON encoder")]
    assert ("dump() (in module json)", "library/json.html") in list(entries(tmp_path))
    asked = questions(tmp_path, found, 10, Random(1))  # noqa: S311  # drawn again
    assert {q.kind for q in asked} == {"title", "index", "paraphrase"}
    assert {q.page for q in asked} == {"library/json.html"}

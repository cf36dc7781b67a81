"""Examples as they are put together: splits, duplicates, distractors, questions without an answer."""

import json
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest

from penstock.trainer.data.build import facts_of, passages_of, split_of
from penstock.trainer.data.corpora import CORPORA, Corpus, CorpusMissing, fetch
from penstock.trainer.data.examples import UNANSWERABLE, Example, label_of, signature
from penstock.trainer.data.facts import Fact
from penstock.trainer.data.maker import MORE, SHARE_UNANSWERABLE, Maker
from penstock.trainer.data.manifest import lines, manifest
from penstock.trainer.data.missing import invented, value_not_given
from penstock.trainer.data.neighbours import Neighbours
from penstock.trainer.data.pages import Page, read_page
from penstock.trainer.data.passages import Passage
from penstock.trainer.prompt import REFUSAL

MANUAL = (Path(__file__).parent / "data" / "kiln.html").read_text()
_THINGS = ("kiln", "loom", "press", "forge", "lathe", "mill", "still", "winch")


def _pages() -> list[Page]:
    """One manual page for each thing, of two corpora."""
    return [
        read_page(MANUAL.replace("kiln", thing), ("north", "south")[at % 2], f"{thing}.html")
        for at, thing in enumerate(_THINGS)
    ]


def _made(seed: int, count: int = 60) -> tuple[list[Passage], list[Example]]:
    passages = list(passages_of(_pages(), seed))
    maker = Maker(
        "train", passages, list(facts_of(passages)), {"north": "North", "south": "South"}, Random(seed)
    )
    return passages, maker.make(count)


def test_the_same_seed_gives_the_same_examples_and_manifest() -> None:
    one, same, other = _made(1)[1], _made(1)[1], _made(2)[1]
    assert list(lines(one)) == list(lines(same))
    assert manifest(CORPORA, one, 1) == manifest(CORPORA, same, 1)
    assert manifest(CORPORA, one, 1)["sha256"] != manifest(CORPORA, other, 1)["sha256"]


def test_answers_name_the_passage_that_has_them_and_end_there() -> None:
    for example in _made(1)[1]:
        assert 1 <= len(example.passages) <= 4
        if example.right:
            assert example.answer.endswith(f". [{example.right}]")
            own = example.passages[example.right - 1].text.lower()
            assert example.answer.split()[-2].strip(".").lower() in own


def test_a_part_cannot_be_answered_and_says_so() -> None:
    made = _made(1)[1]
    refused = [example for example in made if not example.right]
    assert {example.answer for example in refused} == {REFUSAL}
    assert all(example.kind in UNANSWERABLE for example in refused)
    assert 0.1 < len(refused) / len(made) < SHARE_UNANSWERABLE + 0.15  # few facts: less is left to ask for


def test_a_reading_asks_several_questions_of_the_same_passages() -> None:
    readings: dict[int, list[Example]] = defaultdict(list)
    for example in _made(1)[1]:
        readings[example.reading].append(example)
    assert 2 <= max(map(len, readings.values())) <= 1 + MORE
    for same in readings.values():
        assert len({(example.passages, example.form) for example in same}) == 1


def test_passages_of_unanswerable_questions_do_not_hold_the_name() -> None:
    passages, _ = _made(1)
    near = Neighbours(passages)
    for told in facts_of(passages):
        assert near.may_answer(told.fact, told.at)
        assert not near.holds_none(told.fact, [told.at])


def test_no_question_is_asked_twice() -> None:
    asked = [signature(example.question) for example in _made(1)[1]]
    assert len(asked) == len(set(asked))


def test_near_duplicates_have_one_signature() -> None:
    assert signature("The cache holds 10 files.") == signature("the caches: hold 20 file")
    assert signature("The cache holds files.") != signature("The cache drops files.")


def test_documents_are_split_by_name_and_unseen_corpora_stay_out() -> None:
    pages = [Page("north", f"{at}.html", "", ()) for at in range(400)]
    splits = [split_of(page, set(), 1) for page in pages]
    assert 10 < splits.count("validation") < 70
    assert splits == [split_of(page, set(), 1) for page in pages]
    assert {split_of(page, {"north"}, 1) for page in pages} == {"unseen"}


def test_invented_names_look_like_names_and_do_not_exist() -> None:
    names = ["--dry-run", "--no-verify", "--ignore-all", "--follow-links"]
    for seed in range(40):
        made = invented("--dry-run", names, Random(seed))
        assert made is None or (made not in names and made.startswith("--"))


def test_a_value_is_asked_for_only_where_no_passage_has_words_for_it() -> None:
    fact = Fact("purpose", "the ramp", "", "", "ramp")
    asked = [value_not_given(fact, ["The default ramp is set."], Random(seed)) for seed in range(60)]
    assert "What is the default of the ramp?" not in asked
    assert "Which port does the ramp use?" in asked


def test_labels_are_short() -> None:
    passage = Passage(
        "c", "p", "A title that goes on and on for longer than any label may", "Heading", (), "x"
    )
    assert len(label_of(passage)) <= 60


def test_python_and_postgresql_stay_out() -> None:
    packages = " ".join(corpus.package for corpus in CORPORA)
    assert "python3" not in packages
    assert "postgresql" not in packages
    assert all(corpus.licence and len(corpus.sha256) == 64 for corpus in CORPORA)


def test_a_package_that_cannot_be_had_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    corpus = Corpus("kiln-doc", "1", "0" * 64, "MIT", "Kiln", "usr")
    with pytest.raises(CorpusMissing, match="apt-get is missing"):
        fetch(corpus, tmp_path)


def test_a_line_is_json() -> None:
    for line in lines(_made(1)[1][:5]):
        assert json.loads(line)["split"] == "train"

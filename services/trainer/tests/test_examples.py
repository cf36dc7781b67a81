"""Examples as they are put together: splits, duplicates, distractors, questions without an answer."""

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from penstock.trainer.data.build import facts_of, passages_of, split_of
from penstock.trainer.data.corpora import CORPORA, Corpus, CorpusMissing, fetch, held_out, pages
from penstock.trainer.data.examples import UNANSWERABLE, Example, label_of, signature
from penstock.trainer.data.facts import Fact
from penstock.trainer.data.handbook import handbook_facts, handbooks
from penstock.trainer.data.maker import MORE, SHARE_UNANSWERABLE, Maker
from penstock.trainer.data.manifest import lines, manifest
from penstock.trainer.data.missing import invented, value_not_given
from penstock.trainer.data.neighbours import Neighbours
from penstock.trainer.data.pages import Block, Page, Section, read_page
from penstock.trainer.data.passages import Passage, cut
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
        "train", passages, list(facts_of(passages, {})), {"north": "North", "south": "South"}, Random(seed)
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
    assert 0.1 < len(refused) / len(made) < SHARE_UNANSWERABLE + 0.2  # few facts: less is left to ask for


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
    for told in facts_of(passages, {}):
        assert near.may_answer(told.fact, told.at)
        assert not near.holds_none(told.fact, [told.at])


def test_no_question_has_the_same_answer_twice() -> None:
    asked = [(signature(one.question), signature(one.answer)) for one in _made(1)[1]]
    assert len(asked) == len(set(asked))


def test_passages_have_room_in_the_services_prompt() -> None:
    for example in _made(1)[1]:
        assert sum(len(passage.text) + 55 for passage in example.passages) <= 1800


def test_passages_overlap_and_a_term_may_end_one() -> None:
    blocks = [
        Block(kind, f"{name} {number} " + filling)
        for number in range(9)
        for kind, name, filling in (("term", "entry", ""), ("text", "explains", "it " * 50))
    ]
    found = cut(Page("north", "1.html", "Title", (Section((), tuple(blocks)),)), Random(2))
    assert len(found) > 2
    for one, following in pairwise(found):
        if one.blocks[-1].kind == "term":
            assert following.blocks[0] == one.blocks[-1]


def test_a_things_namesake_is_no_answer() -> None:
    page = (Path(__file__).parent / "data" / "kettle.html").read_text()
    other = page.replace("kettle", "jug").replace("Kettle", "Jug").replace("water", "tea")
    other = other.replace("Fill so many cups with hot", "Empty it, and make no")
    passages = list(passages_of([read_page(page, "c", "1.html"), read_page(other, "c", "2.html")], 1))
    near = Neighbours(passages)
    [own] = {one for one in facts_of(passages, {}) if one.fact.slot == "kettle.Kettle.pour"}
    others = near.of_others(own.fact)
    assert others
    assert {near.passage(at).page for at in others} == {"2.html"}
    assert not near.holds_none(own.fact, others)  # they have a `pour`, so that no refusal is taught here


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


def test_of_a_name_with_dots_the_last_part_is_invented() -> None:
    names = ["kettle.Kettle.pour", "kettle.boil"]
    made = {invented("kettle.Kettle.pour", names, Random(seed)) for seed in range(40)}
    assert all(one is None or one.startswith("kettle.Kettle.") for one in made)
    assert not made & set(names)
    assert any(one and one.startswith("kettle.Kettle.pour_") for one in made)


def test_a_value_is_asked_for_only_where_no_passage_has_words_for_it() -> None:
    fact = Fact("purpose", "the ramp", "", "", "ramp")
    asked = [value_not_given(fact, ["The default ramp is set."], Random(seed)) for seed in range(60)]
    assert "What is the default of the ramp?" not in asked
    assert "Which port does the ramp use?" in asked


def test_labels_are_those_of_generation() -> None:
    passage = Passage(
        "c",
        "p",
        "kettle — Boil water and much more that is in no label",
        "Kettle objects and others",
        (),
        "x",
    )
    assert label_of(passage) == "kettle — > Kettle objects"


def test_postgresql_and_half_of_pythons_library_stay_out(tmp_path: Path) -> None:
    assert not any(corpus.package.startswith("postgresql") for corpus in CORPORA)
    assert all(corpus.licence and len(corpus.sha256) == 64 for corpus in CORPORA)
    [python] = [corpus for corpus in CORPORA if corpus.package.startswith("python3")]
    for name in ("library/json.html", "library/shutil.html", "howto/json.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert held_out("library/json.html") == held_out("json.html")
    assert [held_out(name) for name in ("json.html", "shutil.html")] == [True, False]
    read = {path.relative_to(tmp_path).as_posix() for path in pages(python, tmp_path)}
    assert read == {"library/shutil.html", "howto/json.html"}


def test_handbooks_are_asked_what_their_sentences_say() -> None:
    books, asked = handbooks(1)
    assert (books, asked) == handbooks(1)
    facts = [fact for book in books for one in cut(book, Random(1)) for fact in handbook_facts(one, asked)]
    assert len(facts) > 500
    assert {fact.slot.split()[0] for fact in facts} >= {"Who", "When", "What", "How", "Where"}
    assert all("{" not in fact.slot + fact.answer for fact in facts)


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

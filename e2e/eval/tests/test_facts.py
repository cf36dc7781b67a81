"""Questions for the evaluation of answers: what is asked for, and what counts as a right answer."""

from random import Random

import pytest

from e2e.eval.facts import Asked, Entry, Source, asked, first_sentence, task_of

COPYTREE = Entry("library/shutil.html", "shutil.copytree", "copy an entire directory tree to another place")
WHICH = Entry("library/shutil.html", "shutil.which", "return the path to an executable which would be run")


def _drawn(*entries: Entry, near: tuple[str, ...] = (), no_such: tuple[str, ...] = ()) -> list[Asked]:
    return asked(Source("function", entries, no_such, near), 12, Random(1))  # noqa: S311  # no secret


def _of(kind: str, questions: list[Asked]) -> list[str]:
    return [one.text for one in questions if one.kind == kind]


def test_a_task_is_asked_without_the_name_that_answers_it() -> None:
    tasks = [one for one in _drawn(COPYTREE, WHICH) if one.kind == "task"]
    assert tasks == [  # what `which` does holds its name
        Asked(
            "task",
            "What can I use to copy an entire directory tree to another place?",
            "library/shutil.html",
            ("copytree",),
        )
    ]


def test_no_task_is_asked_that_two_do_or_whose_name_is_a_usual_word() -> None:
    other = Entry("library/os.html", "os.copy_all", "copy another entire directory tree to a place")
    plain = Entry("library/os.html", "os.place", "remove what is left")
    assert _of("task", _drawn(COPYTREE, other, plain)) == []


def test_no_task_is_asked_whose_name_is_part_of_another() -> None:
    table = Entry("sql-createtable.html", "CREATE TABLE", "define a new table")
    filled = Entry("sql-createtableas.html", "CREATE TABLE AS", "define a new table from a query")
    assert [one.facts for one in _drawn(table, filled) if one.kind == "task"] == [("CREATE TABLE AS",)]


def test_a_purpose_is_asked_if_it_adds_enough_to_the_name() -> None:
    drop = Entry("sql-droptable.html", "DROP TABLE", "remove a table")
    is_directory = Entry("library/tarfile.html", "tarfile.isdir", "return True if it is a directory")
    assert _of("purpose", _drawn(COPYTREE, drop, is_directory)) == ["What does shutil.copytree do?"]


def test_no_purpose_is_asked_of_another_name_for_the_same() -> None:
    names = ("DROP GROUP", "DROP USER")
    assert _of("purpose", _drawn(*(Entry("sql", name, "remove a database role") for name in names))) == []


def test_no_purpose_is_asked_of_a_name_with_two_entries() -> None:
    unknown = Entry("library/os.html", "shutil.copytree", "")
    assert _of("purpose", _drawn(COPYTREE, unknown)) == []


def test_what_may_be_trained_on_is_not_asked_but_counts_where_two_do_the_same() -> None:
    seen = Entry("library/os.html", "os.clone", "copy a directory tree to another entire place", judged=False)
    assert not any(one.has_answer for one in _drawn(COPYTREE, seen))
    other = Entry("library/os.html", "os.clone", "start a process in place of this one", judged=False)
    assert {one.page for one in _drawn(COPYTREE, other) if one.has_answer} == {COPYTREE.page}


def test_what_has_no_answer_is_asked_too_and_a_draw_can_be_repeated() -> None:
    near, no_such = ("Which function uploads to S3?",), ("What does os.which do?",)
    drawn = _drawn(COPYTREE, near=near, no_such=no_such)
    assert drawn == _drawn(COPYTREE, near=near, no_such=no_such)
    assert _of("near", drawn) == [*near, *no_such]
    assert len(_of("elsewhere", drawn)) == 12
    assert not any(one.has_answer for one in drawn if one.kind in ("near", "elsewhere"))


@pytest.mark.parametrize(
    ("sentence", "task"),
    [
        ("Copy a file.", "copy a file"),
        ("Returns the path.", "return the path"),
        ("Searches for text.", "search for text"),
        ("Splits a string and returns its parts.", ""),
        ("A class of files.", ""),
    ],
)
def test_a_sentence_as_a_task(sentence: str, task: str) -> None:
    assert task_of(sentence) == task


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Returns the path of\n the file.  More is said.", "Returns the path of the file."),
        ("Short.", ""),
        ("This is the same as copytree() of the module.", ""),
        ("Returns the path of a file (e.g. of a program).", ""),
        ("Returns the path of a file, without an end", ""),
    ],
)
def test_the_first_sentence_if_it_says_enough_by_itself(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Use shutil.copytree().", True),
        ("Use `copytree`.", True),
        ("Use copytree2.", False),
        ("Use COPYTREE.", False),
    ],
)
def test_a_task_is_answered_by_the_name(answer: str, right: bool) -> None:
    assert Asked("task", "", "page", ("copytree",)).is_answered_by(answer) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("The default is 1 GB.", True),
        ("1GB", True),
        ("one gb", True),
        ("11 GB", False),
        ("0.1 GB", False),
        ("-1 GB", False),
        ("1 GBs", False),
    ],
)
def test_a_value_is_answered_by_one_of_its_forms(answer: str, right: bool) -> None:
    assert Asked("value", "", "page", ("1 GB", "one GB")).is_answered_by(answer) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("It copies an entire tree to another place.", True),
        ("It has an entire directory tree.", True),
        ("shutil.copytree copies trees of the shutil module.", False),
        ("It makes another one.", False),
    ],
)
def test_a_purpose_is_answered_by_half_of_the_words_that_the_question_lacks(answer: str, right: bool) -> None:
    question = "What does shutil.copytree do?"
    assert Asked("purpose", question, "page", (COPYTREE.task,)).is_answered_by(answer) is right

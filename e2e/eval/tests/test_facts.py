"""Questions for the evaluation of answers: drawn from what a reference page says, and the same each time."""

from pathlib import Path
from random import Random

import pytest

from e2e.eval.corpus import Page
from e2e.eval.facts import Asked, asked, entries

PAGE = """
<dl class="py function"><dt id="shutil.copytree">shutil.copytree(src, dst)</dt>
<dd><p>Copy an entire directory tree to another place.  More is said here.</p></dd></dl>
<dl class="py function"><dt id="shutil.which">shutil.which(cmd)</dt>
<dd><p>Return the path to an executable which would be run.</p></dd></dl>
<dl class="py data"><dt id="shutil.some_data">shutil.some_data</dt>
<dd><p>Return nothing, since it is only some data here.</p></dd></dl>
<dl class="py class"><dt id="shutil.Error">shutil.Error</dt><dd><p>Short.</p></dd></dl>
"""


@pytest.fixture
def pages(tmp_path: Path) -> list[Page]:
    path = tmp_path / "shutil.html"
    path.write_text(PAGE)
    return [Page("library/shutil.html", "shutil", path)]


def test_entries_are_what_can_be_called_with_its_first_sentence(pages: list[Page]) -> None:
    assert [(entry.name, entry.sentence) for entry in entries(pages)] == [
        ("shutil.copytree", "Copy an entire directory tree to another place."),
        ("shutil.which", "Return the path to an executable which would be run."),
    ]


def test_a_task_is_asked_without_the_name_that_answers_it(pages: list[Page]) -> None:
    drawn = asked(pages, 12, Random(1))  # noqa: S311  # drawn again, not secret
    tasks = [one for one in drawn if one.kind == "task"]
    assert tasks == [  # the sentence of `which` holds its name
        Asked(
            "task",
            "What can I use to copy an entire directory tree to another place?",
            "library/shutil.html",
            "copytree",
        )
    ]


def test_what_has_no_answer_is_asked_too_and_a_draw_can_be_repeated(pages: list[Page]) -> None:
    drawn = asked(pages, 12, Random(1))  # noqa: S311  # as above
    assert drawn == asked(pages, 12, Random(1))  # noqa: S311  # as above
    unanswerable = [one for one in drawn if not one.has_answer]
    assert {one.kind for one in unanswerable} == {"elsewhere", "near"}
    names = {entry.name for entry in entries(pages)}
    assert not any(f" {name} " in one.text for one in unanswerable for name in names)

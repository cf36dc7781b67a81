"""What the manuals give to ask about, from pieces of their pages."""

from pathlib import Path

import pytest

from e2e.eval import postgresql_manual, python_manual
from e2e.eval.corpus import Page, is_held_out
from e2e.eval.facts import Asked, Entry
from e2e.eval.phrasings import known

SHUTIL = """
<dl class="py function"><dt id="shutil.copytree">shutil.copytree(src, dst)</dt>
<dd><p>Copy an entire directory tree to another place.  More is said here.</p></dd></dl>
<dl class="py data"><dt id="shutil.some_data">shutil.some_data</dt>
<dd><p>Return nothing, since it is only some data here.</p></dd></dl>
<dl class="py class"><dt id="shutil.Error">shutil.Error</dt><dd><dl class="py method">
<dt id="shutil.Error.show">shutil.Error.show()</dt>
<dd><p>Shows what went wrong in another window.</p></dd></dl></dd></dl>
"""
CREATE_INDEX = """
<div class="refnamediv"><h2>CREATE INDEX</h2><p>CREATE INDEX — define a new index</p></div>
<div class="refsect1"><h2>Description</h2><p><code>CREATE INDEX</code> constructs an index on the
specified column(s). More is said here.</p></div>
"""
CREATEDB = """
<div class="refnamediv"><p>createdb — create a new <span>PostgreSQL</span> database</p></div>
<div class="refsect1"><p>It creates one.</p><p>It is a wrapper around the SQL command.</p></div>
"""
STRINGS = """
<table><tr><td class="func_table_entry"><p class="func_signature"><code class="function">starts_with</code>
( <code class="type">text</code> )</p><p>Returns true if string starts with prefix.</p>
<p><code>starts_with('alphabet', 'alph')</code></p></td></tr>
<tr><td class="func_table_entry"><p class="func_signature"><code class="function">char_length</code></p>
<p class="func_signature"><code class="function">character_length</code></p>
<p>Returns number of characters in the string.</p></td></tr></table>
"""


def _page(folder: Path, name: str, text: str) -> Page:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"<html><body>{text}</body></html>", encoding="utf-8")
    return Page(name, name, path)


def _parameter(told: str, name: str = "work_mem") -> str:
    return (
        f'<dl><dt id="GUC-{name}"><code class="varname">{name}</code></dt><dd><p>Is set. {told}</p></dd></dl>'
    )


@pytest.mark.parametrize(
    ("page", "held_out"),
    [("library/functions.html", False), ("library/os.html", True), ("library/os.path.html", False)],
)
def test_the_name_of_a_page_says_whether_it_is_held_out(page: str, held_out: bool) -> None:
    assert is_held_out(page) is held_out


def test_python_gives_what_can_be_called_with_what_is_said_first_of_it(tmp_path: Path) -> None:
    pages = [_page(tmp_path, name, SHUTIL) for name in ("library/os.html", "c-api/os.html")]
    source = python_manual.source(pages)
    assert list(source.entries) == [
        Entry("library/os.html", "shutil.copytree", "copy an entire directory tree to another place"),
        Entry("library/os.html", "shutil.Error.show", "show what went wrong in another window"),
    ]
    assert source.no_such[0] == "What does shutil.copytree_backwards do?"


def test_python_is_judged_by_the_pages_that_are_held_out(tmp_path: Path) -> None:
    pages = [_page(tmp_path, name, SHUTIL) for name in ("library/os.html", "library/functions.html")]
    judged = {entry.page for entry in python_manual.source(pages).entries if entry.judged}
    assert judged == {"library/os.html"}


def test_postgresql_gives_its_commands_and_what_no_other_does(tmp_path: Path) -> None:
    pages = [
        _page(tmp_path, "sql-createindex.html", CREATE_INDEX),
        _page(tmp_path, "app-createdb.html", CREATEDB),
    ]
    assert list(postgresql_manual.source(pages).entries) == [
        Entry(
            "sql-createindex.html",
            "CREATE INDEX",
            "define a new index",
            "CREATE INDEX constructs an index on the specified column(s)",
        )
    ]


def test_a_description_counts_if_it_begins_with_what_the_command_does(tmp_path: Path) -> None:
    text = CREATE_INDEX.replace("constructs an index", "is about indexes and constructs one")
    [entry] = postgresql_manual.source([_page(tmp_path, "sql-createindex.html", text)]).entries
    assert entry.more == ""


def test_postgresql_gives_its_functions_but_not_what_those_of_two_names_do(tmp_path: Path) -> None:
    source = postgresql_manual.source([_page(tmp_path, "functions-string.html", STRINGS)])
    assert list(source.entries) == [
        Entry("functions-string.html", "starts_with", "return true if string starts with prefix"),
        Entry("functions-string.html", "char_length", ""),
        Entry("functions-string.html", "character_length", ""),
    ]


@pytest.mark.parametrize(
    ("told", "facts"),
    [
        ("The default is four megabytes (<code>4MB</code>).", ("four megabytes", "4 megabytes", "4MB")),
        ("The default is typically 100 connections, but might be less.", ("100",)),
        ("The default value is 0 (none).", ("0", "zero")),
        ("The default is 0.2 (20% of table size).", ("0.2",)),
        ("The default value is 1.0.", ("1.0", "1", "one")),
        ('The default is <code class="literal">replica</code>, which is usual.', ("replica",)),
        ('The default is <code class="literal">off</code>.', ()),
        ("The default is system-dependent.", ()),
        ("The default is 1 on some systems.", ()),
        ("The default is 1. On others, the default is 2.", ()),
    ],
)
def test_the_default_of_a_parameter_where_it_is_clear(
    tmp_path: Path, told: str, facts: tuple[str, ...]
) -> None:
    source = postgresql_manual.source([_page(tmp_path, "runtime-config.html", _parameter(told))])
    question = Asked("value", "What is the default of work_mem?", "runtime-config.html", facts)
    assert list(source.values) == ([question] if facts else [])


def test_the_unit_of_a_parameter_without_a_clear_default(tmp_path: Path) -> None:
    page = _page(
        tmp_path, "r.html", _parameter("If this has no unit, it is taken as kilobytes. It has its default.")
    )
    assert list(postgresql_manual.source([page]).values) == [
        Asked("value", "What is the unit of work_mem?", "r.html", ("kilobytes",))
    ]


def test_names_that_there_are_not_are_made_of_those_that_there_are() -> None:
    names = ["DROP VIEW", "ALTER ROLE", "work_mem", "max_wal_size"]
    assert postgresql_manual.invented(names, "") == ["ALTER VIEW", "DROP ROLE", "max_wal_mem", "work_size"]
    assert postgresql_manual.invented(names, "with drop role and alter view") == ["max_wal_mem", "work_size"]


def test_phrasings_are_of_what_one_command_does(tmp_path: Path) -> None:
    pages = [_page(tmp_path, "sql-createindex.html", CREATE_INDEX), _page(tmp_path, "app.html", CREATEDB)]
    assert [(one.task, one.page) for one in known(pages)] == [("define a new index", "sql-createindex.html")]

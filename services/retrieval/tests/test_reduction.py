"""What a question looks for is found in whatever words it is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.retrieval.domain.reduction import MOST_CHARACTERS, reduced

TASK = "remove an aggregate function"
PHRASINGS = [
    "Can you tell me how to {}, please?",
    "How do I {}?",
    "What is the command to {}?",
    "I need to {}. What should I use?",
    "Is there a way to {}?",
    "Please explain briefly how one can {}.",
    "Name the command that can be used to {}.",
    "What do I use if I want to {}?",
    "In one sentence: how does one {}?",
    "{} - how?",
    "I was wondering whether it's possible to {}?",
    "According to the documentation, how can I {}?",
    "Answer in one sentence. What would I use in order to {}? Thanks in advance!",
    "Where can I read about how to {}?",
    "I'd like to {}, could you help me?",
    "how to {}",
    "Suppose that I want to {}: which command do I have to type?",
    "My colleague asked me to {} and I have no idea which command does that. Can you explain?",
    "Hi! I'm new to databases and would like to {}, could you help me?",
    "HOW DO YOU {}???",
    "Hello,\nhow do I {}?\n\nThanks",
]
KEPT = [
    ("Which PostgreSQL command does this: remove a view?", "remove a view"),
    ("Which function of the json module do I use to parse text?", "json module parse text"),
    ("What does json.dumps do?", "json.dumps"),
    ('What does "could not connect to server" mean?', '"could not connect to server"'),
    ("How do I list files?", "list files"),
    ("How do I list the files of a folder?", "list the files of a folder"),
    ("I'd like to know how to name a constraint", "name a constraint"),
    ("ERROR: connection refused", "connection refused"),
    ("How do I sort a list in Python 3?", "sort a list"),
    ("What is the SQL command to drop a table?", "drop a table"),
    ("How do I pass options to a function at startup?", "pass options to a function at startup"),
    ("What is a B-tree for?", "B-tree"),
    ("What happens when a key is missing?", "key is missing"),
    ("Functions", "Functions"),
    ("What is it?", "What is it?"),
    ("Wie entferne ich eine Tabelle?", "Wie entferne ich eine Tabelle"),
    ("删除聚合函数的命令是什么？", "删除聚合函数的命令是什么"),
]


@pytest.mark.parametrize("phrasing", PHRASINGS)
def test_what_only_asks_is_taken_off(phrasing: str) -> None:
    assert reduced(phrasing.format(TASK)).core == TASK


@pytest.mark.parametrize(("question", "core"), KEPT)
def test_what_is_asked_for_is_kept(question: str, core: str) -> None:
    assert reduced(question).core == core


def test_the_words_of_other_sentences_are_searched_for_too() -> None:
    found = reduced("My tables live in PostgreSQL. How can I remove a table?")
    assert found.core == "remove a table"
    assert "PostgreSQL" in found.words


def test_a_long_text_is_left_as_it_is() -> None:
    text = "how do I " + "x" * MOST_CHARACTERS
    assert reduced(text) == (text, text)


@given(st.text())
def test_nothing_is_made_up_and_something_is_always_left(question: str) -> None:
    found = reduced(question)
    assert bool(found.core) == bool(question)
    assert all(word in question for word in f"{found.core} {found.words}".split())

"""Notes of committed offsets come back whole or not at all."""

import pytest

from penstock.streaming.adapters.notes import closed, opened


@pytest.mark.parametrize("behind", ["", "\x7f", "7", " 12", "\n9", "\0"])
@pytest.mark.parametrize("note", ["", "3", "3 1845 2"])
def test_what_lies_behind_a_note_is_no_part_of_it(note: str, behind: str) -> None:
    assert opened(closed(note) + (behind if note else "")) == note


@pytest.mark.parametrize("text", ["3", "3 1845 2", "3 1845 2\x7f", "3 1845 27"])
def test_of_a_note_without_an_end_nothing_is_known(text: str) -> None:
    """As an earlier version committed it; the number at its end may not be what was written."""
    assert opened(text) == ""


def test_earlier_versions_read_it() -> None:
    assert int(closed("3")) == 3
    assert [int(word) for word in closed("3 1845 2").split()] == [3, 1845, 2]

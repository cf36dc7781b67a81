"""The rules of reading, against any history that owners, zombies and repetitions can write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.messages.reading import Fence, Gap, Splice


def test_text_is_joined_once() -> None:
    splice = Splice()
    assert splice.add(0, "The gate") == "The gate"
    assert splice.add(0, "The gate") == ""
    assert splice.add(4, "gate opens") == " opens"
    assert splice.length == 14


def test_missing_text_is_told() -> None:
    splice = Splice(3)
    with pytest.raises(Gap, match="from 3 to 5"):
        splice.add(5, "x")
    assert splice.add(3, "ab") == "ab"


def test_an_older_epoch_never_comes_back() -> None:
    fence = Fence()
    assert [fence.admits(e) for e in (1, 1, 2, 1, 2, 3, 2)] == [True, True, True, False, True, True, False]


def test_before_any_owner_nothing_is_fenced_off() -> None:
    """What was written before there were epochs has epoch 0."""
    fence = Fence()
    assert fence.epoch == 0
    assert [fence.admits(e) for e in (0, 1, 0)] == [True, True, False]
    assert fence.epoch == 1


@st.composite
def _histories(draw: st.DrawFn) -> tuple[list[tuple[int, int, str]], str]:
    """A log of one answer, as (epoch, start, text), and the text its rule gives.

    Each owner goes on from the text that counts when its marker is written, in any steps, repeating and
    overlapping at will. Owners that were replaced go on writing text of their own.
    """
    log: list[tuple[int, int, str]] = []
    text = ""
    zombies: list[tuple[int, str]] = []
    for epoch in range(1, draw(st.integers(1, 4)) + 1):
        log.append((epoch, 0, ""))  # the marker
        own = text + draw(st.text("abc", max_size=12))
        position = len(text)
        while position < len(own):
            for zombie, theirs in zombies:
                start = draw(st.integers(0, len(theirs)))
                log.append((zombie, start, theirs[start:] + "z"))
            end = draw(st.integers(position + 1, len(own)))
            start = draw(st.integers(0, position))
            log.append((epoch, start, own[start:end]))
            if draw(st.booleans()):
                log.append(log[-1])
            position = end
        text = own
        zombies.append((epoch, own))
    return log, text


@given(_histories())
def test_every_history_gives_the_text_of_the_rule(history: tuple[list[tuple[int, int, str]], str]) -> None:
    log, expected = history
    fence, splice = Fence(), Splice()
    read = "".join(splice.add(start, text) for epoch, start, text in log if fence.admits(epoch))
    assert read == expected


@given(_histories(), st.data())
def test_delivering_twice_changes_nothing(
    history: tuple[list[tuple[int, int, str]], str], data: st.DataObject
) -> None:
    log, expected = history
    again = data.draw(st.integers(0, len(log)))
    fence, splice = Fence(), Splice()
    delivered = log + log[again:]  # a reader that went back to an earlier offset and kept what it knew
    read = "".join(splice.add(start, text) for epoch, start, text in delivered if fence.admits(epoch))
    assert read == expected

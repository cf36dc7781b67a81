"""The loop guard: what only repeats itself ends, at the same character in whatever pieces it comes."""

import tracemalloc
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.generation.domain.loops import LoopGuard

LOOPS = [
    "DROP OPERATOR ",
    "<passages> ",
    "[1] [1]\n",
    "The 1998 World Cup was won by Nigeria. ",
    "ha",
    "見よ、",
    "She said that the water goes through the gate and into the pipe, and then it goes on to the turbine. ",
]
ORDINARY = [
    "Use `DROP OPERATOR`. DROP OPERATOR drops an operator; DROP OPERATOR CLASS does so for classes. [1]",
    "| name | value |\n| ---- | ----- |\n" + "".join(f"| row {n} | {n * n % 7} |\n" for n in range(4)),
    "=" * 72 + "\nTitle\n" + "=" * 72,
    "1. Stop it.\n2. Copy the folder.\n3. Start it.\n4. Look at the log.\n5. Ask again.\n",
    "0.12, 0.15, 0.17, 0.19, 0.24, 0.30, 0.31, 0.35",
    "".join(f"{' ' * 8}total_{name} = total_{name} + {name}\n" for name in ("of_rows", "bytes", "errors")),
    "No, no, no. It is a very, very, very long way.",
]

units = st.sampled_from(LOOPS) | st.text(alphabet="ab .", min_size=1, max_size=40)
beginnings = st.text(alphabet="abc d.[1]\n", max_size=80)


def passed(text: str, cuts: list[int], shown: str = "") -> tuple[str, bool]:
    """Return all that is visible of a text that comes cut at these places; and if it has looped."""
    guard = LoopGuard(shown)
    ends = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    shown += "".join(guard.push(text[start:end]) for start, end in pairwise(ends))
    return (shown, True) if guard.looped else (shown + guard.end(), False)


@pytest.mark.parametrize("unit", LOOPS)
def test_a_loop_ends_with_less_than_two_repetitions_of_it(unit: str) -> None:
    visible, looped = passed("It says: " + unit * 200, [])
    assert looped
    assert visible.startswith("It says: ")
    assert len(visible) <= len("It says: ") + len(unit) + 40


def test_a_count_that_goes_on_does_not_hide_a_loop() -> None:
    visible, looped = passed("".join(f"{n}. DROP TABLE films\n" for n in range(1, 500)), [])
    assert looped
    assert len(visible) < 200


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_passes(text: str) -> None:
    assert passed(text, []) == (text, False)


def test_the_visible_text_does_not_end_within_a_word() -> None:
    visible, _ = passed("Use " + "DROP OPERATOR " * 40, [])
    assert visible.split()[-1] in ("DROP", "OPERATOR")


@given(beginnings, units, st.integers(0, 60), beginnings, st.lists(st.integers(0, 3000), max_size=8))
def test_it_does_not_matter_in_which_pieces_the_text_comes(
    before: str, unit: str, times: int, after: str, cuts: list[int]
) -> None:
    text = before + unit * times + after
    whole, looped = passed(text, [])
    assert passed(text, cuts) == (whole, looped)
    assert text.startswith(whole)
    assert looped or whole == text


@settings(deadline=None)
@given(beginnings, units, st.integers(0, 60), beginnings, st.data())
def test_whoever_goes_on_from_the_visible_text_ends_at_the_same_place(
    before: str, unit: str, times: int, after: str, data: st.DataObject
) -> None:
    text = before + unit * times + after
    whole = passed(text, [])
    taken_over = data.draw(st.integers(0, len(whole[0])))
    cuts = data.draw(st.lists(st.integers(0, 3000), max_size=3))
    assert passed(text[taken_over:], cuts, text[:taken_over]) == whole


@given(units)
def test_whatever_is_repeated_for_long_is_ended(unit: str) -> None:
    assert passed(unit * (1000 // len(unit) + 1), [])[1]


def test_text_without_end_takes_bounded_memory() -> None:
    random = Random(7)  # noqa: S311
    guard = LoopGuard()
    tracemalloc.start()
    try:
        for _ in range(20_000):
            guard.push("".join(random.choices("abcdefghij", k=6)) + " ")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not guard.looped
    assert kept < 1 << 20

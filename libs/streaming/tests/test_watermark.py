"""The watermark: whatever the order of completion, only contiguous work is ever committed."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import Partition, Position
from penstock.streaming.watermark import Watermark

P = Partition("t", 0)
logs = st.sets(st.integers(0, 200), min_size=1, max_size=40).map(sorted)


@given(logs, st.data())
def test_commits_exactly_the_contiguous_part(offsets: list[int], data: st.DataObject) -> None:
    mark = Watermark()
    for offset in offsets:
        mark.add(offset)
    unfinished = list(offsets)
    for offset in data.draw(st.permutations(offsets)):
        mark.done(offset)
        unfinished.remove(offset)
        assert mark.committable == (unfinished[0] if unfinished else offsets[-1] + 1)
        assert mark.in_flight == len(unfinished)


def test_behind_one_that_is_not_handled_those_that_are_cost_no_memory() -> None:
    mark = Watermark()
    for offset in range(10_000):
        mark.add(offset)
        if offset:
            mark.done(offset)
    assert (mark.committable, mark.in_flight) == (0, 1)
    assert sys.getsizeof(mark._open) < 2_000
    mark.done(0)
    assert mark.committable == 10_000


@given(logs, st.data())
def test_a_restart_at_the_watermark_repeats_everything_unfinished(
    offsets: list[int], data: st.DataObject
) -> None:
    mark = Watermark()
    done: set[int] = set()
    pending = list(offsets)
    for _ in range(data.draw(st.integers(0, len(offsets)))):
        mark.add(pending.pop(0))
        polled = [o for o in offsets if o not in pending and o not in done]
        for offset in data.draw(st.sets(st.sampled_from(polled))) if polled else ():
            mark.done(offset)
            done.add(offset)
    resume_at = mark.committable
    assert set(offsets) - done <= {o for o in offsets if o >= resume_at}


def test_offsets_must_rise() -> None:
    mark = Watermark()
    mark.add(5)
    with pytest.raises(ValueError, match="5"):
        mark.add(5)


def test_completion_after_a_partition_was_taken_away_commits_nothing() -> None:
    offsets = Offsets()
    offsets.begin(P, Position(0))
    late = offsets.add(P, 0)
    offsets.drop([P])
    assert offsets.committable(P) is None
    offsets.begin(P, Position(0))
    again = offsets.add(P, 0)
    late()
    assert offsets.committable(P) == Position(0)
    assert offsets.take_news() == {}
    again()
    assert offsets.take_news() == {P: Position(1)}
    assert offsets.take_news() == {}
    offsets.retake({P: Position(1)})
    assert offsets.take_news() == {P: Position(1)}

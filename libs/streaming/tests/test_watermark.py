"""The watermark: whatever the order of completion, only contiguous work is ever committed."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import Partition, Position
from penstock.streaming.watermark import UNKNOWN, Arrival, Watermark

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


def test_a_partition_goes_on_where_its_last_owner_committed() -> None:
    for mark, committed in ((Watermark(), 0), (Watermark(700), 700)):
        assert (mark.position, mark.committable, mark.oldest, mark.in_flight) == (
            committed,
            committed,
            None,
            0,
        )
        mark.add(committed + 5)  # the log has a gap: retention, or a marker of a transaction
        assert (mark.position, mark.committable) == (committed + 6, committed + 5)


def test_it_tells_when_the_first_record_arrived_that_is_not_handled() -> None:
    mark = Watermark()
    arrivals = [Arrival(written_ms=1_000 + n, read_s=float(n)) for n in range(3)]
    for offset, arrival in enumerate(arrivals):
        mark.add(offset, arrival)
    assert mark.oldest == arrivals[0]
    mark.done(1)
    assert mark.oldest == arrivals[0]
    mark.done(0)
    assert mark.oldest == arrivals[2]
    mark.done(2)
    assert mark.oldest is None
    mark.add(3)
    assert mark.oldest == UNKNOWN == (0, 0.0)


@pytest.mark.parametrize("first", [0, 1, 1_000, 1 << 40])
def test_offsets_may_be_as_large_as_they_are_after_years(first: int) -> None:
    mark = Watermark(first)
    for offset in (first, first + 1):
        mark.add(offset)
    for offset in (first, first + 1):
        mark.done(offset)
    assert (mark.committable, mark.oldest) == (first + 2, None)


def test_handled_twice_is_handled_once() -> None:
    mark = Watermark()
    for offset in range(3):
        mark.add(offset)
    for offset in (0, 0, 1, 0):
        mark.done(offset)
    assert (mark.committable, mark.in_flight) == (2, 1)


@pytest.mark.parametrize("first", [0, 1, 5, 1_000])
def test_news_is_what_was_handled_since_the_last_commit(first: int) -> None:
    offsets = Offsets()
    offsets.begin(P, Position(first))
    assert not offsets.has_news
    handled = offsets.add(P, int(str(first)))
    assert not offsets.has_news, "it was only read"
    assert offsets.take_news() == {}
    handled()
    assert offsets.has_news
    assert offsets.take_news() == {P: Position(first + 1)}
    assert not offsets.has_news
    offsets.retake({P: Position(first + 1)})
    assert offsets.has_news


@pytest.mark.parametrize("first", [0, 1])
def test_what_could_not_be_committed_is_news_even_where_nothing_was_handled(first: int) -> None:
    """As after the note alone has changed."""
    offsets = Offsets()
    offsets.begin(P, Position(first))
    offsets.retake({P: Position(first, "note")})
    assert offsets.has_news
    assert offsets.take_news() == {P: Position(first)}


def test_another_note_is_committed_with_the_same_offset() -> None:
    offsets = Offsets()
    offsets.begin(P, Position(3, "begun"))
    notes = {"now": "begun"}
    offsets.note = lambda partition, offset: f"{notes['now']}" if (partition, offset) == (P, 3) else "?"
    assert offsets.take_news() == {}
    notes["now"] = "goes on"
    assert offsets.take_news() == {P: Position(3, "goes on")}


def test_partitions_are_counted_together_and_known_one_by_one() -> None:
    offsets = Offsets()
    other = Partition("t", 1)
    for partition, committed in ((P, 0), (other, 7)):
        offsets.begin(partition, Position(committed))
    handled = [offsets.add(P, 0), offsets.add(other, 7), offsets.add(other, 8)]
    assert offsets.in_flight == 3
    assert {partition: mark.committable for partition, mark in offsets.marks().items()} == {P: 0, other: 7}
    handled[1]()
    assert offsets.take_news() == {other: Position(8)}
    assert set(offsets.owned) == {P, other}
    before = offsets.marks()
    offsets.drop([P])
    assert set(before) == {P, other}
    assert (set(offsets.owned), offsets.in_flight) == ({other}, 1)
    offsets.drop([P, other])  # also what is not ours any more
    assert (set(offsets.owned), offsets.in_flight, offsets.has_news) == (set(), 0, False)

"""When a stage stops taking invalid records."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.streaming.quarantine import LEAST, WINDOW, Quarantine, Tolerance


def after(records: list[bool], tolerance: Tolerance) -> Quarantine:
    quarantine = Quarantine(tolerance)
    for valid in records:
        quarantine.saw(valid=valid)
    return quarantine


def test_a_long_run_of_invalid_records_stops_the_stage() -> None:
    assert after([False] * 10, Tolerance(run=10)).reason is None
    assert "11 invalid records in a row" in str(after([False] * 11, Tolerance(run=10)).reason)


def test_a_large_share_of_invalid_records_stops_the_stage() -> None:
    mixed = [True, False, False] * LEAST
    assert "records are invalid" in str(after(mixed, Tolerance(share=0.5)).reason)
    assert after([True, True, False] * LEAST, Tolerance(share=0.5)).reason is None


@given(st.lists(st.booleans(), max_size=3 * WINDOW))
def test_the_window_counts_what_is_in_it(records: list[bool]) -> None:
    quarantine = after(records, Tolerance(run=10**9, share=1.0))
    assert quarantine._invalid == records[-WINDOW:].count(False)  # the invariant itself
    assert quarantine.reason is None

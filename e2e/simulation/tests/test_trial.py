"""Seeds hold, repeat themselves, and find what is broken on purpose."""

import pytest

from e2e.simulation.holes import FOUND_WITHIN, HOLES, hole
from e2e.simulation.shrink import shrink
from e2e.simulation.story import lines
from e2e.simulation.trial import Result, run

_FEW = 30
"""Holes that more seeds are needed for are put back by `make simulate HOLES=1`."""


@pytest.mark.parametrize("seed", range(6))
def test_a_seed_keeps_its_promises(seed: int) -> None:
    result = run(seed)
    assert result.violations == []
    assert result.completed > 0


@pytest.mark.parametrize("seed", [5, 30])
def test_a_seed_repeats_itself(seed: int) -> None:
    one, same = run(seed), run(seed)
    assert (one.story, one.seconds) == (same.story, same.seconds)
    assert _places(one) == _places(same)


def _places(result: Result) -> list[tuple[object, ...]]:
    """Where everything stands in the log, and when; the ids of markers are no part of what a seed repeats."""
    return [(e.topic, e.partition, e.offset, e.moment, e.request_id, e.epoch) for e in result.entries]


def test_each_hole_says_how_it_is_found() -> None:
    assert FOUND_WITHIN.keys() <= HOLES.keys()


@pytest.mark.parametrize("name", [name for name, seeds in FOUND_WITHIN.items() if seeds <= _FEW])
def test_a_hole_is_found(name: str) -> None:
    with hole(name):
        assert any(run(seed).violations for seed in range(FOUND_WITHIN[name]))


def test_a_failing_seed_is_shrunk_to_a_story() -> None:
    with hole("what is there already is added again"):
        found = next(seed for seed in range(5) if run(seed).violations)
        plan, result = shrink(found)
    assert result.violations
    assert len(plan.strikes) <= 4
    wronged = next(one.request for one in result.violations if one.request)
    told = "\n".join(lines(result))
    assert f"client of {wronged}: asks" in told
    assert "ChatRequested" in told

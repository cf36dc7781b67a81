"""Seeds hold, repeat themselves, and find what is broken on purpose."""

from collections.abc import Callable

import pytest

from e2e.faults import broken
from e2e.simulation.shrink import shrink
from e2e.simulation.trial import Result, run
from penstock.messages.reading import Splice
from penstock.streaming.offsets import Offsets


@pytest.mark.parametrize("seed", range(12))
def test_a_seed_keeps_its_promises(seed: int) -> None:
    result = run(seed)
    assert result.violations == []
    assert result.completed > 0


def test_a_seed_repeats_itself() -> None:
    one, same = run(5), run(5)
    assert (one.story, one.seconds) == (same.story, same.seconds)
    assert _places(one) == _places(same)


def _places(result: Result) -> list[tuple[object, ...]]:
    """Where everything stands in the log, and when; the ids of markers are no part of what a seed repeats."""
    return [(e.topic, e.partition, e.offset, e.moment, e.request_id, e.epoch) for e in result.entries]


@pytest.fixture(params=["no-trimming", "commit-before-acknowledge"])
def build(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A broken build, mended after the test."""
    for owner, name in ((Splice, "add"), (Offsets, "add")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    broken.apply(request.param)
    return str(request.param)


@pytest.mark.usefixtures("build")
def test_a_broken_build_is_found_within_ten_seeds() -> None:
    assert _first(lambda result: bool(result.violations))


def test_a_failing_seed_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Splice, "add", Splice.add)
    broken.apply("no-trimming")
    found = _first(lambda result: bool(result.violations))
    assert found is not None
    plan, result = shrink(found.seed)
    assert result.violations
    assert len(plan.strikes) <= 4


def _first(fails: Callable[[Result], bool]) -> Result | None:
    return next((result for seed in range(10) if fails(result := run(seed))), None)

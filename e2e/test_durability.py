"""A part of the fault suite, small enough for every test run: nothing is lost, doubled or changed.

`make test-faults` runs the whole of it; `e2e/faults/scenarios.py` says what that is.
"""

import asyncio
from pathlib import Path
from random import Random

from e2e.faults.asks import Kind
from e2e.faults.scenarios import QUICK, Scenario, named
from e2e.faults.trial import Result, on_a_stand

SEED = 4


def _run(scenario: Scenario, folder: Path, seconds: float) -> Result:
    random = Random(SEED)  # noqa: S311  # drawn again, not secret
    return asyncio.run(on_a_stand(scenario, folder, seconds, random, lambda _: None))


def _told(result: Result) -> str:
    lines = [f"{v.rule} {v.sort} {v.request}: {v.found}" for v in result.violations[:10]]
    return "\n".join([f"{result.states} under {len(result.injected)} faults", *lines, *result.notes[:10]])


def test_whatever_is_killed_every_client_gets_its_one_answer_byte_for_byte(tmp_path: Path) -> None:
    result = _run(QUICK, tmp_path, 50)
    assert result.passed, _told(result)
    faults = {made.fault for made in result.injected}
    assert faults >= {"kill -9", "SIGSTOP 6 s", "duplicate", "cut"}
    killed = {made.target.partition("-")[0] for made in result.injected if made.fault == "kill -9"}
    assert killed == {"generation", "postprocessing", "gateway", "retrieval", "tokenization"}
    assert {one.ask.kind for one in result.seen} == set(Kind)
    assert result.states["cancelled"] + result.states["left"] > 0  # their slots were free within 2 s (I3)
    assert result.states["completed"] > 30
    assert sum(one.resumed for one in result.seen) > 0


def test_the_checker_catches_a_service_that_does_not_trim(tmp_path: Path) -> None:
    result = _run(named("broken: no trimming"), tmp_path, 10)
    assert result.passed, _told(result)

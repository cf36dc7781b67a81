"""The seam with the real model: what the client read is what the log holds, whoever was killed meanwhile."""

import asyncio
from pathlib import Path
from random import Random

from e2e.faults.scenarios import SEAM
from e2e.faults.trial import on_a_stand


def test_an_answer_of_the_real_model_goes_on_after_its_generation_process_is_killed(tmp_path: Path) -> None:
    random = Random(4)  # noqa: S311  # drawn again, not secret
    result = asyncio.run(on_a_stand(SEAM, tmp_path, 18, random, lambda _: None))
    assert result.passed, [f"{v.rule} {v.sort} {v.request}: {v.found}" for v in result.violations[:10]]
    assert len(result.injected) >= 2
    assert result.states["completed"] >= 3

"""The seam with the real model: what the client read is what the log holds, whoever was killed meanwhile."""

import asyncio
from random import Random

from e2e.faults.scenarios import SEAM
from e2e.faults.stand import Stand
from e2e.faults.trial import Result, attempt
from e2e.stack import Stack


def test_an_answer_of_the_real_model_goes_on_after_its_generation_process_is_killed(stack: Stack) -> None:
    stand = Stand.attached(stack.state.folder, stack.model)

    async def run() -> Result:
        await stand.scale("generation", 2)
        return await attempt(stand, SEAM, 18, Random(4))  # noqa: S311  # drawn again, not secret

    result = asyncio.run(run())
    assert result.passed, [f"{v.rule} {v.sort} {v.request}: {v.found}" for v in result.violations[:10]]
    assert len(result.injected) >= 2
    assert result.states["completed"] >= 3

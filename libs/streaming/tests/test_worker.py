"""How a worker's process ends."""

import asyncio

import pytest

from penstock.streaming import worker
from penstock.streaming.ports import BrokerError


async def fail() -> None:
    raise BrokerError("gone")


async def fail_within_a_group() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail())


@pytest.mark.parametrize("work", [fail, fail_within_a_group])
def test_a_broker_that_fails_ends_it_with_a_code_and_without_a_traceback(work) -> None:
    with pytest.raises(SystemExit) as ended:
        worker.run(work())
    assert ended.value.code == 1

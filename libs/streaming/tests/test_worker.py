"""How a worker's process ends."""

import asyncio

import pytest
from structlog.testing import capture_logs

from penstock.streaming import worker
from penstock.streaming.ports import BrokerError
from penstock.telemetry.readiness import Readiness


async def fail() -> None:
    raise BrokerError("gone")


async def fail_within_a_group() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail())


async def test_a_reason_to_wait_is_logged_once_however_its_numbers_change() -> None:
    reasons = iter(["no broker answers", *(f"{left} records are left" for left in (3, 2, 1)), None])

    async def check() -> str | None:
        return next(reasons)

    with capture_logs() as logged:
        assert await worker.wait_for("documents", check, Readiness("documents"), asyncio.Event())
    assert [one["reason"] for one in logged] == ["no broker answers", "3 records are left"]


@pytest.mark.parametrize("work", [fail, fail_within_a_group])
def test_a_broker_that_fails_ends_it_with_a_code_and_without_a_traceback(work) -> None:
    with pytest.raises(SystemExit) as ended, capture_logs() as logged:
        worker.run(work())
    assert ended.value.code == 1
    assert logged[-1]["errors"] == ["gone"]

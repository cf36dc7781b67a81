"""Work that is shared by all who want its result."""

import asyncio

import pytest

from penstock.gateway.single_flight import SingleFlight


async def test_all_get_the_result_of_one_piece_of_work() -> None:
    shared, begun, go = SingleFlight[str, str]("test"), 0, asyncio.Event()

    async def work() -> str:
        nonlocal begun
        begun += 1
        await go.wait()
        return "done"

    waiting = [asyncio.create_task(shared.do("x", work)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # who leaves does not end it for the others
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*waiting[1:]) == ["done", "done"]
    assert begun == 1
    assert await shared.do("x", work) == "done"
    assert begun == 2


async def test_a_failure_reaches_all_and_is_not_kept() -> None:
    shared = SingleFlight[str, None]("test")

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def succeed() -> None:
        return None

    results = await asyncio.gather(*(shared.do("x", fail) for _ in range(2)), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError, ValueError]
    await shared.do("x", succeed)


async def test_what_was_forgotten_is_begun_anew() -> None:
    shared, current = SingleFlight[str, None]("test"), []

    async def work() -> None:
        await asyncio.sleep(0.01)
        current.append(shared.runs_now("x"))

    old = shared.start("x", work)
    shared.forget("x")
    new = shared.start("x", work)
    assert old is not new
    await asyncio.gather(old, new)
    assert sorted(current) == [False, True]


async def test_closing_cancels_what_runs() -> None:
    shared = SingleFlight[str, None]("test")
    task = shared.start("x", lambda: asyncio.sleep(60))
    await shared.close()
    assert task.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await task

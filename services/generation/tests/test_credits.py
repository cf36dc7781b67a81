"""Replicas share a backend's slots: never more requests than it takes, and all of its slots in use."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.clients.models import UNKNOWN
from penstock.generation.pool import Pool
from penstock.generation.ports import Backend, End, Token
from penstock.messages.chat import Sampling
from penstock.streaming.share import Share

SLOTS = 32
PARTITIONS = 8


class Slots:
    """A backend of so many slots (port: Backend)."""

    def __init__(self, slots: int) -> None:
        self.url = f"slots-{slots}"
        self.slots = slots
        self.profile = UNKNOWN

    async def check(self) -> None:
        return

    def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Sequence[Token | End], None]:
        raise NotImplementedError


@given(st.integers(0, 200), st.integers(1, 40), st.data())
def test_the_parts_of_all_owners_add_up(slots: int, partitions: int, data: st.DataObject) -> None:
    owners = data.draw(st.lists(st.integers(0, 3), min_size=partitions, max_size=partitions))
    owned = [frozenset(n for n, owner in enumerate(owners) if owner == who) for who in range(4)]
    assert sum(Share(numbers, partitions).of(slots) for numbers in owned) == slots


async def _fill(pool: Pool, count: int, running: set["asyncio.Task[None]"]) -> None:
    async def hold() -> None:
        async with pool.lease():
            await asyncio.Event().wait()

    running |= {asyncio.create_task(hold()) for _ in range(count)}
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_two_replicas_use_all_slots_and_never_one_more() -> None:
    backend: Backend = Slots(SLOTS)
    first, second = Pool([backend]), Pool([backend])
    running: set[asyncio.Task[None]] = set()
    first.share(Share(frozenset({0, 2, 5, 7}), PARTITIONS))
    second.share(Share(frozenset({1, 3, 4, 6}), PARTITIONS))
    for pool in (first, second):
        await _fill(pool, SLOTS, running)
    assert first.busy + second.busy == SLOTS
    # The second one dies: the group gives its partitions to the first, which takes all its slots.
    first.share(Share(frozenset(range(PARTITIONS)), PARTITIONS))
    await asyncio.sleep(0.01)
    assert first.busy == SLOTS
    for task in running:
        task.cancel()


async def test_a_replica_with_partitions_has_a_slot_however_few_there_are() -> None:
    pool = Pool([Slots(1), Slots(2)])
    pool.share(Share(frozenset({0}), PARTITIONS))
    assert pool.slots == 1
    async with pool.lease() as backend:
        assert backend.slots == 2


async def test_without_partitions_nothing_is_asked_of_a_backend() -> None:
    pool = Pool([Slots(SLOTS)])
    pool.share(Share())
    assert (pool.slots, pool.is_reachable) == (0, True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), pool.lease():
            pass


async def test_metrics_tell_our_part_and_whether_the_backend_is_there() -> None:
    pool = Pool([Slots(SLOTS), Slots(0)])
    pool.share(Share(frozenset({0, 1}), PARTITIONS))
    assert [(one.slots, one.is_up) for one in pool.usage()] == [(SLOTS // 4, True), (0, False)]

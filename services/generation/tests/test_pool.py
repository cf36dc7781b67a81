"""The pool asks its backends often while they are used, and seldom while they rest."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from penstock.clients.models import UNKNOWN
from penstock.generation.pool import CALM_AFTER_SECONDS, Pool
from penstock.generation.ports import End, Token
from penstock.messages.chat import Sampling


class CountingBackend:
    """Counts how often it was asked for its slots (port: Backend)."""

    url = "counting"
    slots = 1
    profile = UNKNOWN

    def __init__(self) -> None:
        self.checks = 0
        self._checked = asyncio.Condition()

    async def check(self) -> None:
        async with self._checked:
            self.checks += 1
            self._checked.notify_all()

    async def until(self, checks: int) -> None:
        async with asyncio.timeout(10), self._checked:
            await self._checked.wait_for(lambda: self.checks >= checks)

    def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Token | End, None]:
        raise NotImplementedError


@pytest.fixture
async def resting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Pool, CountingBackend]]:
    """A pool that nothing was asked of for a while, and that would rest for ever."""
    monkeypatch.setattr("penstock.generation.pool.CALM_CHECK_SECONDS", 3600.0)
    backend, now, stop = CountingBackend(), [0.0], asyncio.Event()
    pool = Pool([backend], lambda: now[0])
    now[0] += CALM_AFTER_SECONDS + 1
    watching = asyncio.create_task(pool.watch(stop))
    await backend.until(1)
    await asyncio.sleep(0)
    yield pool, backend
    stop.set()
    await asyncio.wait_for(watching, 10)


async def test_a_request_has_the_backends_asked_at_once(resting: tuple[Pool, CountingBackend]) -> None:
    pool, backend = resting
    async with pool.lease():
        await backend.until(2)


async def test_while_requests_come_they_are_asked_again_and_again(
    resting: tuple[Pool, CountingBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.generation.pool.CHECK_SECONDS", 0.001)
    pool, backend = resting
    async with pool.lease():
        await backend.until(5)
    await backend.until(10)

"""A producer that writes no more is replaced; until then questions are refused, and none is lost."""

import asyncio
from typing import Any

import pytest

from penstock.streaming.ports import BrokerError, Producer


async def test_a_broken_producer_is_replaced_and_questions_are_taken_again(stand: Any) -> None:
    broken = stand.gateway.core.exchange.producer
    closed = asyncio.Event()

    async def close() -> None:
        closed.set()
        raise BrokerError("nothing can be flushed")

    broken.close = close
    broken.broken = True
    await stand.until(lambda: stand.gateway.core.exchange.producer is not broken)
    await asyncio.wait_for(closed.wait(), 10)
    asking = asyncio.create_task(stand.ask())
    await stand.answer("A pipe.")
    assert (await asking).json()["choices"][0]["message"]["content"] == "A pipe."


async def test_it_is_replaced_as_soon_as_the_broker_is_back(
    stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, opened = stand.gateway.core.exchange.producer, stand.source.open_producer
    tries: list[int] = []

    async def open_later() -> Producer:
        tries.append(1)
        if len(tries) < 3:
            raise BrokerError("no broker answers")
        made: Producer = await opened()
        return made

    monkeypatch.setattr(stand.source, "open_producer", open_later)
    broken.broken = True
    await stand.until(lambda: stand.gateway.core.exchange.producer is not broken)
    assert len(tries) == 3
    await stand.until(lambda: stand.gateway.readiness.is_ready)

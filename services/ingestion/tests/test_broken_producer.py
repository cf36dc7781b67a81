"""A producer that has given a record up is replaced, and the new one writes."""

import asyncio
import time
from typing import Any

import pytest

from penstock.ingestion.adapters import log
from penstock.ingestion.adapters.log import KAFKA, Connection
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.clock import BrokerClock
from penstock.streaming.ports import Producer
from penstock.telemetry.readiness import Readiness


async def another_than(one: object, connection: Connection) -> Any:
    """Wait for a producer that is not this one."""
    deadline = time.monotonic() + 10
    while connection.producer in (one, None):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    return connection.producer


async def test_another_one_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, opened = MemoryBroker(now_ms=lambda: 0), []

    async def open_producer(*_of: object) -> Producer:
        opened.append(broker.producer())
        return opened[-1]

    async def nothing_awaited(*_of: object) -> None:
        return None

    monkeypatch.setattr(log, "open_producer", open_producer)
    monkeypatch.setattr(log, "topics_awaited", nothing_awaited)
    connection = Connection("nowhere:1", Readiness(KAFKA), BrokerClock())
    running = asyncio.create_task(connection.run())
    try:
        first = await another_than(None, connection)
        first.broken = True
        await another_than(first, connection)
        assert opened == [first, connection.producer]
    finally:
        running.cancel()

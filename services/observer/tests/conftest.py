"""A broker in memory, and an observer over it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from penstock.observer.settings import Settings
from penstock.streaming.adapters.memory import MemoryBroker
from services.observer.tests.stand import KEY, Console, Line, MemoryLog, serving


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def log(broker: MemoryBroker) -> MemoryLog:
    return MemoryLog(broker)


@pytest.fixture
def line(broker: MemoryBroker) -> Line:
    return Line(broker)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path, observer_port=0, observer_key=SecretStr(KEY))


@pytest.fixture
async def console(log: MemoryLog, settings: Settings) -> AsyncIterator[Console]:
    async with serving(log, settings) as console:
        yield console

"""Lets the tests import `e2e.stub` as `python -m` does, from the root; and a stub that serves."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))


@pytest.fixture
async def stub() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a fresh stub on a port of its own: no delays, answers of up to 50 tokens, two slots."""
    from e2e.stub.backend import Stub
    from e2e.stub.serving import StubServer
    from e2e.stub.wire import Behaviour

    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = StubServer(Stub(Behaviour(tokens=50, slots=2)), url.set_result)
    serving = asyncio.create_task(server.serve())
    async with httpx2.AsyncClient(base_url=await url, trust_env=False) as client:
        yield client
    server.stop()
    await serving

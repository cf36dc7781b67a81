"""The bell wakes a real Celery worker, over a folder, and over Redis where the machine has it."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery.contrib.testing.worker import start_worker

from libs.database.tests.servers import REDIS, running_redis
from penstock.ingestion.adapters.celery_bell import TASK, CeleryBell, make_app


@pytest.fixture(params=["folder", *(["redis"] if REDIS else [])])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield f"folder://{tmp_path / 'queue'}"
        return
    with running_redis(tmp_path) as url:
        yield url


async def test_a_ring_wakes_a_worker(broker: str) -> None:
    woken = threading.Event()
    worker_app = make_app(broker)
    worker_app.task(woken.set, name=TASK, shared=False)
    with start_worker(worker_app, pool="threads", perform_ping_check=False, concurrency=1):
        await CeleryBell(make_app(broker)).ring()
        assert await asyncio.to_thread(woken.wait, 60)


async def test_a_ring_before_there_is_a_worker_is_heard_later(broker: str) -> None:
    await CeleryBell(make_app(broker)).ring()
    woken = threading.Event()
    worker_app = make_app(broker)
    worker_app.task(woken.set, name=TASK, shared=False)
    with start_worker(worker_app, pool="threads", perform_ping_check=False, concurrency=1):
        assert await asyncio.to_thread(woken.wait, 60)


async def test_a_bell_that_cannot_be_rung_raises_nothing() -> None:
    await asyncio.wait_for(CeleryBell(make_app("redis://127.0.0.1:1/0")).ring(), 20)

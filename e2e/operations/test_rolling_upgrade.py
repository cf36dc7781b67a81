"""From the version before to this one, replica by replica, under load: nobody sees an error."""

import asyncio
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from e2e.faults.asks import Kind, Load
from e2e.faults.invariants import check_clients, check_share
from e2e.faults.load import Clients
from e2e.faults.readback import ends, read_back
from e2e.faults.stand import Setup
from e2e.operations.balancer import balancing
from e2e.operations.releases import Current, NoRelease, check_out, old_ref, with_one_more_migration
from e2e.operations.sdk import asking, failures
from e2e.operations.stands import OperatedStand, ReleaseStand

SERVICES = ("tokenization", "retrieval", "generation", "postprocessing", "ingestion-worker", "gateway")
LOAD = Load(streams=6, tokens=(20, 80), shares={Kind.WHOLE: 15, Kind.BACKGROUND: 10})
SDK_CLIENTS = 3
SETUP = Setup(
    replicas=dict.fromkeys(SERVICES, 2),
    # Longer than any answer here: one that a gateway has begun when it is told to stop, it ends.
    settings={"PENSTOCK_DRAIN_S": "30"},
)


@dataclass
class Upgrade:
    """A running stack of the old version, and where the new one lies."""

    stand: ReleaseStand
    current: Current
    new: Path
    revision: str


@pytest.fixture
async def upgrade(tmp_path: Path) -> AsyncIterator[Upgrade]:
    try:
        old = await asyncio.to_thread(check_out, old_ref(), tmp_path / "old")
    except NoRelease as reason:
        pytest.skip(str(reason))
    new, revision = with_one_more_migration(tmp_path / "new")
    current = Current(tmp_path / "current")
    current.lead_to(old)
    stand = ReleaseStand(SETUP, tmp_path / "stack", current)
    try:
        await stand.start()
        yield Upgrade(stand, current, new, revision)
    finally:
        await stand.stop()


def revision_of(stand: ReleaseStand) -> str:
    with sqlite3.connect(stand.state.folder / "gateway" / "accounts.db") as database:
        [(found,)] = database.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(found)


async def test_an_upgrade_under_load_costs_no_request(upgrade: Upgrade, told: Callable[[str], None]) -> None:
    stand = upgrade.stand
    assert all("/old/.venv/" in line for line in stand.programs(SERVICES).values()), "the old version runs"
    before = revision_of(stand)
    since = await ends(stand.status().kafka)
    clients = Clients(stand.door(), LOAD, "upgrade", Random(7))  # noqa: S311  # no secret
    over = asyncio.Event()
    async with balancing(stand.gateways) as base, asyncio.TaskGroup() as tasks:
        tasks.create_task(clients.run(over))
        key, model = stand.door().key, stand.door().model
        plain = [tasks.create_task(asking(base, key, model, f"sdk-{n}", over)) for n in range(SDK_CLIENTS)]
        await asyncio.sleep(5)
        began = time.monotonic()
        upgrade.current.lead_to(upgrade.new)
        said = await stand.penstock("restart")
        took = time.monotonic() - began
        await asyncio.sleep(5)
        over.set()
    tried = [one for task in plain for one in task.result()]
    log = await read_back(stand.status().kafka, since)

    assert not any("/old/" in line for line in stand.programs(SERVICES).values()), (
        "all are of the new version"
    )
    assert (before, revision_of(stand)) == (f"{int(upgrade.revision) - 1:04d}", upgrade.revision)
    assert list(failures(tried)) == []
    assert list(check_clients(clients.seen, log)) == []
    assert list(check_share(clients.seen, enough=1.0)) == []
    assert min(len(tried), len(clients.seen)) > 50, "there was load all the time"
    pauses = [*(one.pause_s for one in tried), *(one.longest_pause() for one in clients.seen)]
    tries = Counter(trouble[:40] for one in clients.seen for trouble in one.troubles)
    told(
        f"\n{said}upgraded in {took:.0f} s: {len(tried)} answers by OpenAI's library, {len(clients.seen)} by"
        f" clients that resume, of which {sum(one.resumed for one in clients.seen)} did ({dict(tries)});"
        f" 0 failed; longest pause {max(pauses):.1f} s"
    )


async def test_a_request_that_is_lost_is_noticed(tmp_path: Path) -> None:
    """The same count, with gateways that are killed together and a library that may not try again."""
    stand, over = OperatedStand(Setup(replicas={"gateway": 2}), tmp_path), asyncio.Event()
    try:
        await stand.start()
        async with balancing(stand.gateways) as base, asyncio.TaskGroup() as tasks:
            door = stand.door()
            plain = tasks.create_task(asking(base, door.key, door.model, "lost", over, retries=0))
            await asyncio.sleep(3)
            for name in stand.names("gateway"):
                pid = stand.pid(name)
                assert pid
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(8)
            over.set()
    finally:
        await stand.stop()
    assert list(failures(plain.result())), "an answer was cut, and nobody counted it"

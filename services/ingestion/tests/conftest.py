"""Records on SQLite, and on PostgreSQL where the machine has it; blobs in a folder; a clock."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from penstock.ingestion.adapters.blobs import ObjectBlobs
from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.adapters.records.database import Database
from services.ingestion.tests.servers import POSTGRES, running_postgres


@dataclass
class Clock:
    """Unix milliseconds that pass only when told."""

    now: int = 1_764_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += round(seconds * 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database: to migrate one for each test takes half a second."""
    path = tmp_path_factory.mktemp("empty") / "documents.db"

    async def make() -> None:
        database = Database(f"sqlite+aiosqlite:///{path}")
        await database.open()
        await database.close()

    asyncio.run(make())
    return path


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server: its URL without a database."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["sqlite", *(["postgresql"] if POSTGRES else [])])
async def records(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock, empty_database: Path
) -> AsyncIterator[Records]:
    if request.param == "sqlite":
        shutil.copy(empty_database, tmp_path / "documents.db")
        url = f"sqlite+aiosqlite:///{tmp_path / 'documents.db'}"
    else:
        url = await new_database(request.getfixturevalue("postgres"))
    made = Records(url, clock)
    await made.database.open()
    yield made
    await made.database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> ObjectBlobs:
    return ObjectBlobs(f"file://{tmp_path / 'blobs'}")


async def new_database(server: str) -> str:
    """Make an empty database on a PostgreSQL server, and return its URL."""
    name = f"test_{uuid4().hex}"
    connection = await asyncpg.connect(f"{server.replace('+asyncpg', '')}/postgres")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return f"{server}/{name}"

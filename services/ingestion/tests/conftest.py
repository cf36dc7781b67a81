"""Records on SQLite, and on PostgreSQL where the machine has it; blobs in a folder; a clock."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from penstock.database.engine import parse_url
from penstock.database.migrate import upgrade
from penstock.ingestion.adapters.blobs import ObjectBlobs
from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.adapters.tables import SCHEMA


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


@pytest.fixture
async def records(database_url: str, clock: Clock) -> AsyncIterator[Records]:
    made = Records(database_url, clock)
    await upgrade(parse_url(database_url), SCHEMA)
    await made.database.open()
    yield made
    await made.database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> ObjectBlobs:
    return ObjectBlobs(f"file://{tmp_path / 'blobs'}")

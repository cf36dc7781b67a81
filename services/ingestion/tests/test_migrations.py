"""A database of an earlier version becomes one of this, and loses nothing."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.adapters.records.database import MIGRATIONS, Database
from penstock.messages.search import DEFAULT_STORE
from services.ingestion.tests.conftest import new_database
from services.ingestion.tests.servers import POSTGRES

STORE = "INSERT INTO stores VALUES ('acme', 'vs_default', 'Default', 1, 1, NULL, '{}')"
FILE = "INSERT INTO files VALUES (:file, 'acme', 'a.md', 'assistants', 1, 'd', 1, true)"
DOCUMENT = (
    "INSERT INTO documents VALUES (:document, 'acme', 'vs_default', :file, 'a.md', 'd', 1, :version, 1,"
    " :state, '{}', NULL, NULL, '', 3, 2, 0, '', '', 'content')"
)
JOB = "INSERT INTO jobs VALUES ('doc-1', :version, 1, '', 0, 9999999999999, 1, 0, 2)"
STATES = ("completed", "indexing", "failed")
VERSION = 1_763_000_000_000


def as_of(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@pytest.fixture(params=["sqlite", *(["postgresql"] if POSTGRES else [])])
async def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of version 1: a document that is indexed, one that waits for the index, one that failed."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'documents.db'}"
    if request.param == "postgresql":
        url = await new_database(request.getfixturevalue("postgres"))
    database = Database(url)
    async with database.writing() as connection:
        await connection.run_sync(as_of, "0001")
        await connection.execute(text(STORE))
        for n, state in enumerate(STATES):
            names = {"file": f"file-{n}", "document": f"doc-{n}", "state": state, "version": VERSION + n}
            await connection.execute(text(FILE), names)
            await connection.execute(text(DOCUMENT), names)
        await connection.execute(text(JOB), {"version": VERSION + 1})
    await database.close()
    return url


async def test_documents_from_before_the_log_was_compacted_are_published_once_more(
    earlier: str, clock
) -> None:
    records = Records(earlier, clock)
    await records.database.open()
    claimed = []
    while (job := await records.jobs.claim("w1")) is not None:
        await records.jobs.publishing(job, 1)
        await records.jobs.published(job, "content", 2, 0, 1)
        claimed.append((job.document.id, job.document.version))
    # The same versions: an index that has them needs to do nothing.
    assert sorted(claimed) == [("doc-0", VERSION), ("doc-1", VERSION + 1)]
    await records.jobs.indexed([(identity, version, 0) for identity, version in claimed])
    for n, state in enumerate(("completed", "completed", "failed")):
        assert (await records.documents.get("acme", DEFAULT_STORE, f"file-{n}")).state == state
    await records.database.close()
